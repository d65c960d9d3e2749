r"""Clean text to token ids, each distinct word encoded once.

GPT-2's splitting cuts text into pieces with the expression

    's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+

and byte-pair merges never cross pieces. Where the only white space is one ' ' or one '\n' between
other characters, a piece begins at every ' ' (a space is taken by the alternative that takes what
follows it), and '\n' is a piece of its own (no other alternative takes it). So text falls apart
into units, "an optional space and a run without white space" and "\n", whose pieces do not depend
on the text around them, and the ids of a document are the concatenated ids of its units. Text has
few distinct words: `tokenizers` encodes each once, or twice if it also begins a line (without the
space), and later occurrences are looked up.

Shapes: N tokens, U units in the text, L units learned, M documents.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel

from core.errors import TokenOutOfVocabulary
from core.tokenizer.specials import END_OF_TEXT_ID
from core.tokenizer.words import WordFlags, byte_characters, vocabulary_bytes

MAX_WORDS = 300_000
"""Distinct words remembered, about 60 MB; beyond that all are forgotten and learned again."""
MAX_UNIT_TOKENS = 4_000_000
"""Tokens of all remembered units: text without white space would otherwise fill the memory."""
LEARNED_AT_ONCE = 64
"""Units joined into one text for `tokenizers`, 3.2 us each; of 8 or 512 it would be 4 us each."""
DOCUMENT_END, LINE_END = "\r", "\n"
"""Words 0 and 1. Clean text does not contain the first, which represents an empty line."""
UNKNOWN = -1


class TextNotClean(ValueError):
    """The text breaks the format that cleaning promises: a mistake of ours, not of the user."""


@dataclass(frozen=True)
class Encoded:
    """Tokens of a stretch of text."""

    ids: npt.NDArray[np.unsignedinteger[Any]]  # 32 bits, or the dtype of the token file
    """(N,) with `<|endoftext|>` after each document that ends here."""
    starts: npt.NDArray[np.bool_]
    """(N,) whether a word starts in the token."""
    document_ends: npt.NDArray[np.int64]
    """(M,) number of tokens up to and with each `<|endoftext|>`."""


@dataclass(frozen=True)
class Learned:
    """Units that one process has learned, for another one that would meet them too."""

    words: list[str]
    """L of them."""
    begins_line: npt.NDArray[np.bool_]
    """(L,) whether the unit is the word alone, not a space and the word."""
    lengths: npt.NDArray[np.int64]
    """(L,) their numbers of tokens."""
    packed: npt.NDArray[np.uint32]
    """(N,) their tokens in a row: id << 1, and whether a word starts there."""


class _Numbers(dict[str, int]):
    """Numbers words in the order they are met."""

    def __init__(self) -> None:
        super().__init__()
        self.words: list[str] = []
        """By number."""

    def __missing__(self, word: str) -> int:
        number = self[word] = len(self.words)
        self.words.append(word)
        return number


class UnitEncoder:
    """Encodes clean text; special tokens written out in the text are text.

    A unit is known by a code: twice the number of its word, and 1 more where it begins a line.
    """

    _packed: npt.NDArray[np.uint32]
    """(N,) tokens of all units remembered, as in `Learned`."""
    _lengths: npt.NDArray[np.int64]
    """By the code of a unit, how many tokens it has, or UNKNOWN."""
    _offsets: npt.NDArray[np.int64]
    """By the code of a unit, where in `_packed` they begin."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        _check_splitting(tokenizer)
        tokenizer.encode_special_tokens = True  # text must not be able to forge a document's end
        self.vocab_size = tokenizer.get_vocab_size()
        self._tokenizer = tokenizer
        self._flags = WordFlags.of(vocabulary_bytes(tokenizer))
        self._newline = tokenizer.get_vocab()[byte_characters()[ord(LINE_END)]]
        self._news: list[Learned] = []
        self._forget()

    def encode(self, text: str) -> Encoded:
        r"""Tokens of whole lines: documents end at '\n\n', '\n' at the end continues a document.

        Raises:
            TextNotClean: If there is other white space than single ' ' and '\n' between words.
            TokenOutOfVocabulary: If the tokenizer gives an id that is not below its size.
        """
        words = _split(text)
        codes = self._codes(words)  # (U,)
        lengths = self._lengths[codes]  # (U,)
        if unknown := dict.fromkeys(codes[lengths == UNKNOWN].tolist()):
            self._learn(list(unknown))
            lengths = self._lengths[codes]
        ends = np.cumsum(lengths)  # (U,)
        shift = self._offsets[codes] - ends + lengths  # (U,)
        packed = self._packed[np.repeat(shift, lengths) + np.arange(lengths.sum())]  # (N,) uint32
        if len(self._numbers) > MAX_WORDS or len(self._packed) > MAX_UNIT_TOKENS:
            self._forget()
        return Encoded(packed >> 1, (packed & 1).astype(np.bool_), ends[codes < 2])

    def news(self) -> list[Learned]:
        """What was learned since the last call."""
        news, self._news = self._news, []
        return news

    def adopt(self, learned: Learned) -> None:
        """Takes what another process with the same tokenizer has learned."""
        numbers = np.fromiter(map(self._numbers.__getitem__, learned.words), np.int64)  # (L,)
        self._make_room()
        self._append(2 * numbers + learned.begins_line, learned)

    def _codes(self, words: list[str]) -> npt.NDArray[np.int64]:
        """(U,) of the units that these words are."""
        known = len(self._numbers)
        codes = np.fromiter(map(self._numbers.__getitem__, words), np.int64, len(words))
        for word in self._numbers.words[known:]:
            if word.split() != [word]:
                self._forget()  # what is no word must not stay
                raise TextNotClean(f"not one word with single white space around it: {word!r}")
        self._make_room()
        breaks = codes < 2  # (U,) numbers of words so far
        codes *= 2
        codes[1:] += breaks[:-1]
        codes[:1] += 1  # text begins with a line
        return codes

    def _make_room(self) -> None:
        """For the codes of all words that have a number."""
        missing = 2 * len(self._numbers) - len(self._lengths)
        if missing > 0:
            more = np.full(missing + len(self._lengths), UNKNOWN)  # twice as long, so it is seldom
            self._offsets = np.concatenate([self._offsets, more])
            self._lengths = np.concatenate([self._lengths, more])

    def _append(self, codes: npt.NDArray[np.int64], learned: Learned) -> None:
        self._offsets[codes] = np.cumsum(learned.lengths) - learned.lengths + len(self._packed)
        self._lengths[codes] = learned.lengths
        self._packed = np.concatenate([self._packed, learned.packed])

    def _forget(self) -> None:
        self._numbers = _Numbers()
        self._packed = np.array([END_OF_TEXT_ID << 1, self._newline << 1], np.uint32)
        self._lengths = np.ones(4, np.int64)
        self._offsets = np.array([0, 0, 1, 1])
        for word in (DOCUMENT_END, LINE_END):
            self._numbers[word]

    def _learn(self, unknown: list[int]) -> None:
        """Learns the units of these codes, L of them."""
        codes = np.array(unknown)  # (L,)
        words = [self._numbers.words[code >> 1] for code in unknown]
        units = [
            word if code & 1 else " " + word for word, code in zip(words, unknown, strict=True)
        ]
        # One text a call, so that `tokenizers` starts no threads: the processes share the cores.
        parts = []
        for begin in range(0, len(units), LEARNED_AT_ONCE):
            text = "\n".join(units[begin : begin + LEARNED_AT_ONCE]) + "\n"
            (encoding,) = self._tokenizer.encode_batch_fast([text], add_special_tokens=False)
            parts.append(np.array(encoding.ids, np.uint32))
        ids = np.concatenate(parts)
        if ids.max() >= self.vocab_size:
            raise TokenOutOfVocabulary(
                f"the tokenizer gives id {ids.max()}, but its vocabulary has {self.vocab_size}"
            )
        is_break = ids == self._newline  # one after each unit
        breaks = np.flatnonzero(is_break)
        assert len(breaks) == len(units), "a line break must be a token of its own"
        lengths = np.diff(breaks, prepend=-1) - 1  # (L,)
        packed = (ids << 1 | self._flags.starts(ids))[~is_break]  # (N,)
        learned = Learned(words, (codes & 1).astype(np.bool_), lengths, packed)
        self._append(codes, learned)
        self._news.append(learned)


def _split(text: str) -> list[str]:
    """The words of a text, with a word for each end of a line and of a document."""
    if not text:
        return []
    if "\t" in text or DOCUMENT_END in text:
        raise TextNotClean("clean text has no white space but ' ' and '\\n'")
    marked = text.replace("\n\n", f" {DOCUMENT_END} ").replace("\n", f" {LINE_END} ")
    words = marked.split(" ")
    if text.endswith("\n"):
        words.pop()  # there is no word after the last line break
    return words


def _check_splitting(tokenizer: Tokenizer) -> None:
    """What the module's docstring builds on, seen in the tokenizer itself."""
    splitting, model = tokenizer.pre_tokenizer, tokenizer.model
    if (
        tokenizer.normalizer is not None
        or not isinstance(splitting, ByteLevel)
        or splitting.add_prefix_space
        or not splitting.use_regex
        or not isinstance(model, BPE)
        or model.dropout
    ):
        raise ValueError("only byte-level BPE with GPT-2's splitting can be encoded word by word")
