"""Checks a checkpoint of a submission: its files, its configuration, and that it loads.

The official pipeline of 2025 pins transformers 4.51.3 and tokenizers 0.21.1. This module checks
that the configuration has the entries that these releases need. `make compat` loads exports with
these releases.
"""

import json
from typing import Any

from core.errors import ExportInvalid
from core.export.check import is_unchanged, load_plain
from core.export.submission.hub_folder import Revision
from core.storage.model_files import CONFIG_FILE, TOKENIZER_FILE, WEIGHTS_FILE
from core.tokenizer.config import CONFIG_FILE as TOKENIZER_CONFIG_FILE

REQUIRED_FILES = (CONFIG_FILE, WEIGHTS_FILE, TOKENIZER_FILE, TOKENIZER_CONFIG_FILE)
REQUIRED_CONFIG = ("architectures", "model_type", "rope_theta", "torch_dtype", "vocab_size")
"""Required keys of the configuration. transformers 5 itself writes `rope_parameters` and `dtype`
instead of `rope_theta` and `torch_dtype`. transformers 4.51 ignores these two new keys, so the old
keys must be there too."""
REQUIRED_TOKENIZER = ("bos_token", "eos_token", "pad_token")
UNKNOWN_TO_PIN = ("TokenizersBackend",)
"""Tokenizer classes that exist only in transformers 5."""


def check_revision(revision: Revision) -> list[str]:
    """The faults of a checkpoint; empty if it is valid."""
    name = revision.checkpoint.name
    faults = [
        f"{name}/{file.path} is missing or differs from what the run wrote"
        for file in revision.checkpoint.files
        if not is_unchanged(revision.folder, file)
    ]
    listed = {file.path for file in revision.checkpoint.files}
    faults += [f"{name} has no {path}" for path in REQUIRED_FILES if path not in listed]
    if faults:
        return faults
    faults = [f"{name}/{fault}" for fault in _config_faults(revision)]
    if not faults:
        try:
            load_plain(revision.folder)
        except ExportInvalid as error:
            faults.append(error.message)
    return faults


def _config_faults(revision: Revision) -> list[str]:
    config, tokenizer = _read(revision, CONFIG_FILE), _read(revision, TOKENIZER_CONFIG_FILE)
    faults = [
        f"{CONFIG_FILE} has no {key}, which transformers 4.51.3 needs"
        for key in REQUIRED_CONFIG
        if key not in config
    ]
    faults += [
        f"{TOKENIZER_CONFIG_FILE} has no {key}"
        for key in REQUIRED_TOKENIZER
        if key not in tokenizer
    ]
    if tokenizer.get("tokenizer_class") in (None, *UNKNOWN_TO_PIN):
        faults.append(
            f"{TOKENIZER_CONFIG_FILE} names the class {tokenizer.get('tokenizer_class')}, which "
            "transformers 4.51.3 does not know"
        )
    return faults


def _read(revision: Revision, name: str) -> dict[str, Any]:  # any JSON value
    """The content of a JSON file of the submission."""
    text = revision.replaced.get(name) or (revision.folder / name).read_bytes()
    try:
        content = json.loads(text)
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}
