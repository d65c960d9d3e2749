"""Writes `tokenizer_config.json`, which `AutoTokenizer` reads together with `tokenizer.json`."""

import json
from pathlib import Path

from core.tokenizer.specials import END_OF_TEXT, PAD, UNKNOWN

CONFIG_FILE = "tokenizer_config.json"
NO_MAX_LENGTH = int(1e30)
"""The value of transformers for a tokenizer without a limit. In a checkpoint the limit of the model
replaces it."""


def save_config(output: Path) -> None:
    """Writes `tokenizer_config.json`, which `AutoTokenizer.from_pretrained(output)` needs.

    The file works with transformers 4.51 and 5. It gives the class explicitly, because transformers
    5 would write `TokenizersBackend`, which transformers 4.51 does not know (the BabyLM evaluation
    of 2025 pins 4.51). Decoding must not "clean up" spaces before punctuation, because the decoded
    text would then differ from the original text.
    """
    config = {
        "add_bos_token": False,
        "add_prefix_space": False,
        "bos_token": END_OF_TEXT,
        "clean_up_tokenization_spaces": False,
        "eos_token": END_OF_TEXT,
        "errors": "replace",
        "model_max_length": NO_MAX_LENGTH,
        "pad_token": PAD,
        "padding_side": "right",
        "tokenizer_class": "GPT2Tokenizer",
        "unk_token": UNKNOWN,
    }
    text = json.dumps(config, indent=1) + "\n"
    (output / CONFIG_FILE).write_text(text, encoding="utf-8")


def set_max_length(folder: Path, length: int) -> None:
    """Sets the maximum input length, in tokens, of the tokenizer in `folder`."""
    path = folder / CONFIG_FILE
    config = json.loads(path.read_text(encoding="utf-8")) | {"model_max_length": length}
    path.write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")
