"""The tokenizer of a checkpoint in the form of llama.cpp: a byte-level BPE with GPT-2's splitting.

`tokenizer.ggml.model` is `gpt2`, the name of llama.cpp for byte-level BPE, and `tokenizer.ggml.pre`
is `gpt-2`, the regular expression of GPT-2.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.storage.model_files import TOKENIZER_FILE

MODEL = "gpt2"
SPLITTING = "gpt-2"


@dataclass(frozen=True)
class Vocabulary:
    """Entries by id, and merges by rank."""

    tokens: list[str]
    specials: frozenset[int]
    """Ids of the special tokens."""
    merges: list[str]
    """The merges, each as two entries with a space between them."""


class VocabularyRefused(Exception):
    """llama.cpp would not split text as the tokenizer does."""


def read_vocabulary(folder: Path) -> Vocabulary:
    """The vocabulary of the tokenizer in the folder of a checkpoint.

    Raises:
        VocabularyRefused: If llama.cpp would not split text as the tokenizer does; the message says
            why.
    """
    found = json.loads((folder / TOKENIZER_FILE).read_bytes())
    model = found["model"]
    if reason := _reason_refused(found, model):
        raise VocabularyRefused(
            f"{TOKENIZER_FILE} {reason}, and the export supports only byte-level BPE with GPT-2's "
            "splitting"
        )
    added = {each["id"]: each["content"] for each in found["added_tokens"]}
    by_id = {number: text for text, number in model["vocab"].items()} | added
    if sorted(by_id) != list(range(len(by_id))):
        raise VocabularyRefused(f"the ids in {TOKENIZER_FILE} have gaps or do not begin at 0")
    specials = frozenset(each["id"] for each in found["added_tokens"] if each["special"])
    merges = [each if isinstance(each, str) else " ".join(each) for each in model["merges"]]
    return Vocabulary([by_id[number] for number in range(len(by_id))], specials, merges)


def _reason_refused(found: dict[str, Any], model: dict[str, Any]) -> str | None:  # any JSON
    splitting = found.get("pre_tokenizer") or {}
    if model["type"] != "BPE":
        return f"has the model {model['type']} instead of byte-level BPE"
    if splitting.get("type") != "ByteLevel" or not splitting.get("use_regex", True):
        return f"splits text with {splitting.get('type', 'nothing')} instead of GPT-2's rules"
    if splitting.get("add_prefix_space"):
        return "adds a space before each text"
    if found.get("normalizer") is not None:
        return f"changes text with the normalizer {found['normalizer'].get('type')}"
    if model.get("ignore_merges"):
        return "prefers whole words to merges (ignore_merges)"
    return None
