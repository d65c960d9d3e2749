"""Loads a tokenizer from its folder."""

from pathlib import Path

from tokenizers import Tokenizer


def load_tokenizer(folder: Path) -> Tokenizer:
    """The tokenizer in a folder in Hugging Face's format."""
    return Tokenizer.from_file(str(folder / "tokenizer.json"))
