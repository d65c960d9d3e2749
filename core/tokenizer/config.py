"""`tokenizer_config.json`, which `AutoTokenizer` reads with `tokenizer.json`."""

import json
from pathlib import Path

from core.tokenizer.specials import END_OF_TEXT, PAD, UNKNOWN

CONFIG_FILE = "tokenizer_config.json"
NO_MAX_LENGTH = int(1e30)
"""What transformers writes if a tokenizer has no limit; a checkpoint has its model's instead."""


def save_config(output: Path) -> None:
    """Writes what `AutoTokenizer.from_pretrained(output)` needs in addition to `tokenizer.json`.

    Works with transformers 4.51 and 5. The class is named: left to itself, transformers 5 writes
    `TokenizersBackend`, which 4.51, pinned by the BabyLM evaluation of 2025, does not know.
    Decoding must not "clean up" spaces before punctuation, or it would not give the text back.
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
    """Sets the longest input, in tokens, in the configuration of the tokenizer in `folder`."""
    path = folder / CONFIG_FILE
    config = json.loads(path.read_text(encoding="utf-8")) | {"model_max_length": length}
    path.write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")
