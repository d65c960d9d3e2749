"""Checks an existing tokenizer and converts it to the form that runs use.

The module does not import `tokenizers`.

Words are counted from token ids, so only byte-level BPE with GPT-2's splitting is accepted. The
conversion replaces the special tokens by those of this service, which have the ids 0, 1 and 2. The
other entries keep their order, and a text is still split into the same entries.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.archs.base import MAX_VOCAB_SIZE
from core.errors import TokenizerInvalid
from core.storage.model_files import TOKENIZER_FILE
from core.tokenizer.byte_level import byte_characters
from core.tokenizer.specials import SPECIAL_TOKENS

MAX_FILE_BYTES = 32 << 20
Json = Mapping[str, Any]  # any JSON value
SPECIAL = {
    "single_word": False,
    "lstrip": False,
    "rstrip": False,
    "normalized": False,
    "special": True,
}
BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True}
MODEL = {
    "type": "BPE",
    "dropout": None,
    "unk_token": None,
    "continuing_subword_prefix": None,
    "end_of_word_suffix": None,
    "fuse_unk": False,
    "byte_fallback": False,
}


@dataclass(frozen=True)
class ExistingTokenizer:
    """A tokenizer that runs can use."""

    content: str
    """The converted content of its `tokenizer.json`."""
    vocab_size: int
    merges: int


def read_existing(path: Path) -> ExistingTokenizer:
    """The tokenizer of a Hugging Face folder or of a `tokenizer.json`.

    Raises:
        TokenizerInvalid: If there is no tokenizer, or if runs cannot use it; the message says why.
    """
    file = path / TOKENIZER_FILE if path.is_dir() else path
    try:
        if file.stat().st_size > MAX_FILE_BYTES:
            raise TokenizerInvalid(f"{file.name} has more than {MAX_FILE_BYTES >> 20} MiB")
        return convert(file.read_bytes(), file.name)
    except OSError as error:
        raise TokenizerInvalid(
            f"{path.name} is neither a {TOKENIZER_FILE} nor a folder that has one",
            hint="Save it with `save_pretrained` of a fast tokenizer of transformers.",
        ) from error


def convert(content: bytes, name: str) -> ExistingTokenizer:
    """The tokenizer with this `tokenizer.json`; `name` is its name in errors.

    Raises:
        TokenizerInvalid: If runs cannot use it.
    """
    try:
        found = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise TokenizerInvalid(f"{name} is not JSON: {str(error)[:80]}") from error
    model = found.get("model") if isinstance(found, dict) else None
    if not isinstance(model, dict):
        raise TokenizerInvalid(f"{name} is no {TOKENIZER_FILE} of Hugging Face: it has no model")
    try:
        return _converted(found, model, name)
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise TokenizerInvalid(f"{name} is no {TOKENIZER_FILE} of Hugging Face: {error}") from error


def _converted(found: Json, model: Json, name: str) -> ExistingTokenizer:
    if reason := _reason_unusable(found, model):
        raise TokenizerInvalid(f"{name} {reason}")
    added = {each["content"] for each in found.get("added_tokens") or []}
    by_id = {number: text for text, number in model["vocab"].items()}
    texts = [by_id[number] for number in sorted(by_id) if by_id[number] not in added]
    texts = [text for text in texts if text not in SPECIAL_TOKENS]
    merges = [_pair(merge) for merge in model["merges"]]
    if reason := _reason_invalid(texts, merges, num_ids=len(by_id), num=len(model["vocab"])):
        raise TokenizerInvalid(f"{name} {reason}")
    vocabulary = {text: number for number, text in enumerate((*SPECIAL_TOKENS, *texts))}
    specials = [
        {"id": number, "content": text, **SPECIAL} for number, text in enumerate(SPECIAL_TOKENS)
    ]
    converted = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": specials,
        "normalizer": None,
        "pre_tokenizer": {**BYTE_LEVEL, "use_regex": True},
        "post_processor": None,
        "decoder": {**BYTE_LEVEL, "use_regex": True},
        "model": {
            **MODEL,
            "ignore_merges": bool(model.get("ignore_merges")),
            "vocab": vocabulary,
            "merges": merges,
        },
    }
    text = json.dumps(converted, ensure_ascii=False, indent=1)
    return ExistingTokenizer(text, len(vocabulary), len(merges))


def _reason_unusable(found: Json, model: Json) -> str | None:
    """Why a tokenizer of this kind cannot be used; None if it can."""
    only = (
        "only byte-level BPE with GPT-2's splitting can be used, because the service counts words "
        "from the token ids"
    )
    if model.get("type") != "BPE":
        return f"is a {model.get('type')} tokenizer; {only}"
    splitting = found.get("pre_tokenizer") or {}
    if splitting.get("type") == "Sequence" and len(splitting["pretokenizers"]) == 1:
        (splitting,) = splitting["pretokenizers"]
    if splitting.get("type") != "ByteLevel" or not splitting.get("use_regex", True):
        return f"splits text with {splitting.get('type', 'nothing')}; {only}"
    if splitting.get("add_prefix_space"):
        return (
            "adds a space before each text (add_prefix_space), so decoding does not reproduce the "
            "text"
        )
    if found.get("normalizer") is not None:
        return f"changes text before it is split ({found['normalizer'].get('type')}); {only}"
    for field in ("dropout", "continuing_subword_prefix", "end_of_word_suffix", "byte_fallback"):
        if model.get(field):
            return f"has a model with {field}; {only}"
    words = [each["content"] for each in found.get("added_tokens") or [] if not each["special"]]
    if words:
        return f"has added tokens that are no special tokens, such as {words[0]!r}; remove them"
    return None


def _reason_invalid(
    texts: list[str], merges: list[list[str]], *, num_ids: int, num: int
) -> str | None:
    """Why a vocabulary cannot be used; None if it can."""
    if num_ids != num:
        return "gives two entries the same id"
    if len(texts) + len(SPECIAL_TOKENS) > MAX_VOCAB_SIZE:
        return f"has {len(texts):,} entries; a model may have {MAX_VOCAB_SIZE:,}"
    characters = byte_characters().values()
    known, alphabet = set(texts), set(characters)
    missing = [byte for byte, text in byte_characters().items() if text not in known]
    if missing:
        shown = ", ".join(f"0x{byte:02X}" for byte in missing[:5])
        return f"has no entry for {len(missing)} of the 256 bytes ({shown}): text would be lost"
    for text in texts:
        if not alphabet.issuperset(text):
            return f"has the entry {text[:40]!r}, which does not stand for bytes"
        if len(text.replace("\u010a", "\u0120").strip("\u0120").split("\u0120")) > 1:
            return f"has the entry {text[:40]!r}, in which two words may start"
    for left, right in merges:
        if not known.issuperset((left, right, left + right)):
            return (
                f"merges {left!r} and {right!r}, but one of them or their result is not in its "
                "vocabulary"
            )
    return None


def _pair(merge: Any) -> list[str]:  # a string, or a list in newer files
    left, right = merge.split(" ") if isinstance(merge, str) else merge
    return [left, right]
