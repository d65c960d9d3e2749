r"""Clean text to token ids, each distinct word encoded once.

GPT-2's splitting cuts text into pieces with the expression

    's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+

and byte-pair merges never cross pieces. Where the only white space is one ' ' or one '\n' between
other characters, a piece begins at every ' ' (a space is taken by the alternative that takes what
follows it), and '\n' is a piece of its own (no other alternative takes it). So text falls apart
into units, "an optional space and a run without white space" and "\n", whose pieces do not depend
on what stands around them, and the ids of a document are those of its units in a row. Text has
few distinct units: each goes through `tokenizers` once and is looked up from then on.

Letters: N tokens, U units in the text, M documents.
"""

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from core.dataset.words import WordFlags, byte_characters, vocabulary_bytes
from core.errors import TokenOutOfVocabulary
from core.tokenizer.specials import END_OF_TEXT_ID

MAX_UNITS = 300_000
"""Distinct units remembered, about 60 MB; beyond that all are forgotten and learned again."""
MAX_UNIT_TOKENS = 4_000_000
"""Tokens of all remembered units: text without white space would otherwise fill the memory."""
LEARNED_AT_ONCE = 512
"""Units joined into one text for `tokenizers`: one call each costs 3 us more a unit."""
BETWEEN, DOCUMENT_END = "\t", "\r"
"""Stand between units and for the end of a document; clean text has neither."""


class TextNotClean(ValueError):
    """The text breaks the format that cleaning promises: a mistake of ours, not of the user."""


@dataclass(frozen=True)
class Encoded:
    """Tokens of a stretch of text."""

    ids: npt.NDArray[np.unsignedinteger[Any]]  # Any: 32 bits, or as few as the file has
    """(N,) with `<|endoftext|>` after each document that ends here."""
    starts: npt.NDArray[np.bool_]
    """(N,) whether a word starts in the token."""
    document_ends: npt.NDArray[np.int64]
    """(M,) number of tokens up to and with each `<|endoftext|>`."""


@dataclass(frozen=True)
class Learned:
    """Units that one process has learned, for another one that would meet them too."""

    units: list[str]
    """U of them."""
    lengths: npt.NDArray[np.int64]
    """(U,) their numbers of tokens."""
    packed: npt.NDArray[np.uint32]
    """(N,) their tokens in a row: id << 1, and whether a word starts there."""


class _Numbers(dict[str, int]):
    """Numbers units in the order they are met."""

    def __init__(self) -> None:
        super().__init__()
        self.new: list[str] = []
        self.following = 0
        """The next number; those of units that were adopted twice are not used."""

    def __missing__(self, unit: str) -> int:
        number = self[unit] = self.following
        self.following += 1
        self.new.append(unit)
        return number


class UnitEncoder:
    """Encodes clean text; special tokens written out in the text are text."""

    _packed: npt.NDArray[np.uint32]
    """(N,) tokens of all units remembered, as in `Learned`."""
    _lengths: npt.NDArray[np.int64]
    """By the number of a unit, how many tokens it has."""
    _offsets: npt.NDArray[np.int64]
    """By the number of a unit, where in `_packed` they begin."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        _check_splitting(tokenizer)
        tokenizer.encode_special_tokens = True  # text must not be able to forge a document's end
        self.vocab_size = tokenizer.get_vocab_size()
        self._tokenizer = tokenizer
        self._flags = WordFlags.of(vocabulary_bytes(tokenizer))
        self._newline = tokenizer.get_vocab()[byte_characters()[ord("\n")]]
        self._news: list[Learned] = []
        self._forget()

    def encode(self, text: str) -> Encoded:
        r"""Tokens of whole lines: documents end at '\n\n', '\n' at the end continues a document.

        Raises:
            TextNotClean: If there is other white space than single ' ' and '\n' between words.
            TokenOutOfVocabulary: If the tokenizer gives an id that is not below its size.
        """
        units = _split(text)
        numbers = np.fromiter(map(self._numbers.__getitem__, units), np.int64, len(units))  # (U,)
        if self._numbers.new:
            try:
                self._learn(self._numbers.new)
            except Exception:
                self._forget()  # numbers without tokens must not stay
                raise
            self._numbers.new.clear()
        lengths = self._lengths[numbers]  # (U,)
        ends = np.cumsum(lengths)  # (U,)
        shift = self._offsets[numbers] - ends + lengths  # (U,)
        packed = self._packed[np.repeat(shift, lengths) + np.arange(lengths.sum())]  # (N,) uint32
        if len(self._numbers) > MAX_UNITS or len(self._packed) > MAX_UNIT_TOKENS:
            self._forget()
        return Encoded(packed >> 1, (packed & 1).astype(np.bool_), ends[numbers == 0])

    def news(self) -> list[Learned]:
        """What was learned since the last call."""
        news, self._news = self._news, []
        return news

    def adopt(self, learned: Learned) -> None:
        """Takes what another process with the same tokenizer has learned."""
        for number, unit in enumerate(learned.units, self._numbers.following):
            self._numbers.setdefault(unit, number)
        self._numbers.following += len(learned.units)
        self._append(learned)

    def _append(self, learned: Learned) -> None:
        begins = np.cumsum(learned.lengths) - learned.lengths + len(self._packed)  # (U,)
        self._offsets = np.concatenate([self._offsets, begins])
        self._lengths = np.concatenate([self._lengths, learned.lengths])
        self._packed = np.concatenate([self._packed, learned.packed])

    def _forget(self) -> None:
        self._numbers = _Numbers()
        self._numbers.update({DOCUMENT_END: 0, "\n": 1})
        self._numbers.following = 2
        self._packed = np.array([END_OF_TEXT_ID << 1, self._newline << 1], np.uint32)
        self._lengths = np.ones(2, np.int64)
        self._offsets = np.arange(2, dtype=np.int64)

    def _learn(self, units: list[str]) -> None:
        for unit in units:
            word = unit.removeprefix(" ")
            if word.split() != [word]:
                raise TextNotClean(f"not one word with single white space around it: {unit!r}")
        texts = [
            "\n".join(units[begin : begin + LEARNED_AT_ONCE]) + "\n"
            for begin in range(0, len(units), LEARNED_AT_ONCE)
        ]
        encodings = self._tokenizer.encode_batch_fast(texts, add_special_tokens=False)
        ids = np.concatenate([np.array(encoding.ids, np.uint32) for encoding in encodings])
        if ids.max() >= self.vocab_size:
            raise TokenOutOfVocabulary(
                f"the tokenizer gives id {ids.max()}, but its vocabulary has {self.vocab_size}"
            )
        is_break = ids == self._newline  # one behind each unit
        breaks = np.flatnonzero(is_break)
        assert len(breaks) == len(units), "a line break must be a token of its own"
        lengths = np.diff(breaks, prepend=-1) - 1  # (U,)
        packed = (ids << 1 | self._flags.starts(ids))[~is_break]  # (N,)
        learned = Learned(units.copy(), lengths, packed)
        self._append(learned)
        self._news.append(learned)


def _split(text: str) -> list[str]:
    if not text:
        return []
    if BETWEEN in text or DOCUMENT_END in text:
        raise TextNotClean("clean text has no white space but ' ' and '\\n'")
    marked = text.replace("\n\n", BETWEEN + DOCUMENT_END + BETWEEN)
    marked = marked.replace(" ", BETWEEN + " ").replace("\n", BETWEEN + "\n" + BETWEEN)
    units = marked.split(BETWEEN)
    if not units[-1]:  # behind the last line break
        units.pop()
    return units


def _check_splitting(tokenizer: Tokenizer) -> None:
    """What the module's docstring builds on, seen in the tokenizer itself."""
    content = json.loads(tokenizer.to_str())
    splitting, model = content["pre_tokenizer"] or {}, content["model"]
    if (
        content["normalizer"] is not None
        or splitting.get("type") != "ByteLevel"
        or splitting.get("add_prefix_space") is not False
        or splitting.get("use_regex") is not True
        or model.get("type") != "BPE"
        or model.get("dropout")
    ):
        raise ValueError("only byte-level BPE with GPT-2's splitting can be encoded word by word")
