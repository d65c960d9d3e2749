"""A tokenizer from its folder."""

from pathlib import Path

from tokenizers import Tokenizer


def load_tokenizer(folder: Path) -> Tokenizer:
    """The tokenizer in a folder that Hugging Face loads."""
    return Tokenizer.from_file(str(folder / "tokenizer.json"))
