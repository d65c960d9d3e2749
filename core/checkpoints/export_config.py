"""The entries of `config.json` that transformers 4 needs and transformers 5 does not write.

This module does not import torch.
"""

import json
from pathlib import Path
from typing import Any

from core.archs import Architecture

Json = dict[str, Any]
"""A JSON object with values of any type."""


def exported_config(config: Json, architecture: Architecture) -> Json:
    """The content of `config.json` for both transformers 4 and 5.

    transformers 4 reads only the old names. transformers 5 reads old and new names.

    Args:
        config: The content that transformers 5 writes.
        architecture: The architecture of the model.
    """
    return config | {
        "rope_theta": config["rope_parameters"]["rope_theta"],
        "torch_dtype": config["dtype"],
        **architecture.exported_config(),
    }


def config_text(config: Json) -> str:
    """The text of `config.json`."""
    return json.dumps(config, indent=2, sort_keys=True) + "\n"


def missing_entries(path: Path, architecture: Architecture) -> Json | None:
    """The complete content of a `config.json` that lacks entries; None if no entry is missing.

    Version 0.1 of this project wrote checkpoints without the entries. The function also returns
    None if the file does not exist or was not written by transformers 5.
    """
    try:
        config: Json = json.loads(path.read_bytes())
        complete = exported_config(config, architecture)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return None if complete == config else complete
