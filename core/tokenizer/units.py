r"""Converts clean text to token ids, and encodes each distinct word only once.

GPT-2's splitting cuts text into pieces with the expression

    's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+

and byte-pair merges never cross pieces. Clean text has no white space except single ' ' and single
'\n' between words. In such text a piece begins at every ' ', because each alternative that matches
a space also matches the characters after it. '\n' is a piece of its own, because only the last
two alternatives match it. So the text consists of units. A unit is either "\n", or a word with an
optional space before it. The pieces of a unit do not depend on the text around it, so the ids of a
document are the concatenated ids of its units. A text has few distinct words. `tokenizers` encodes
each word once (or twice, with and without the space, if the word also begins a line), and later
occurrences are looked up.

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
from core.tokenizer.byte_level import byte_characters
from core.tokenizer.specials import END_OF_TEXT_ID
from core.tokenizer.words import WordFlags, vocabulary_bytes

MAX_WORDS = 300_000
"""Maximum number of distinct words that an encoder remembers in its tables, which then take about
60 MB. An encoder with more words empties its tables."""
MAX_UNIT_TOKENS = 4_000_000
"""Maximum number of tokens of all units that an encoder remembers. Without this limit, text without
white space would fill the memory."""
LEARNED_AT_ONCE = 64
"""Number of units that are joined into one text for `tokenizers`. Encoding a unit then takes 3.2
us, compared with 4 us if 8 or 512 units are joined."""
DOCUMENT_END, LINE_END = "\r", "\n"
"""The words with the numbers 0 and 1. DOCUMENT_END represents an empty line; clean text does not
contain it."""
UNKNOWN = -1


class TextNotClean(ValueError):
    """The text is not in the format that the clean stage writes: a bug, not a user error."""


@dataclass(frozen=True)
class Encoded:
    """Tokens of some lines of text."""

    ids: npt.NDArray[np.unsignedinteger[Any]]  # 32 bits, or the dtype of the token file
    """(N,) token ids, with `<|endoftext|>` after each document that ends in these lines."""
    starts: npt.NDArray[np.bool_]
    """(N,) whether a word starts in the token."""
    document_ends: npt.NDArray[np.int64]
    """(M,) number of tokens up to and including each `<|endoftext|>`."""


@dataclass(frozen=True)
class Learned:
    """Units that one process has encoded, for the tables of the other processes."""

    words: list[str]
    """The L words of the units."""
    begins_line: npt.NDArray[np.bool_]
    """(L,) whether the unit begins a line, so that it has no space before the word."""
    lengths: npt.NDArray[np.int64]
    """(L,) number of tokens of each unit."""
    packed: npt.NDArray[np.uint32]
    """(N,) the tokens of all units, concatenated: id << 1, plus 1 if a word starts there."""


class _Numbers(dict[str, int]):
    """Numbers words in the order of their first occurrence."""

    def __init__(self) -> None:
        super().__init__()
        self.words: list[str] = []
        """The words by number."""

    def __missing__(self, word: str) -> int:
        number = self[word] = len(self.words)
        self.words.append(word)
        return number


class UnitEncoder:
    """Encodes clean text. Special tokens that are spelled out in the text are encoded as text.

    Each unit has a code: twice the number of its word, plus 1 if the unit begins a line.
    """

    _packed: npt.NDArray[np.uint32]
    """(N,) tokens of all units that the encoder remembers, as in `Learned`."""
    _lengths: npt.NDArray[np.int64]
    """Number of tokens of each unit, by its code; UNKNOWN for a unit that is not learned yet."""
    _offsets: npt.NDArray[np.int64]
    """Index in `_packed` of the first token of each unit, by the code of the unit."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        _check_splitting(tokenizer)
        tokenizer.encode_special_tokens = (
            True  # text must not be able to forge the end of a document
        )
        self.vocab_size = tokenizer.get_vocab_size()
        self._tokenizer = tokenizer
        self._flags = WordFlags.of(vocabulary_bytes(tokenizer))
        self._newline = tokenizer.get_vocab()[byte_characters()[ord(LINE_END)]]
        self._news: list[Learned] = []
        self._forget()

    def encode(self, text: str) -> Encoded:
        r"""Tokens of whole lines.

        A document ends at '\n\n'. If the text ends with a single '\n', its last document continues
        in the next text.

        Raises:
            TextNotClean: If the text has other white space than single ' ' and '\n' between words.
            TokenOutOfVocabulary: If the tokenizer gives an id that is not in its vocabulary.
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
        """The units that this encoder has encoded since the last call."""
        news, self._news = self._news, []
        return news

    def adopt(self, learned: Learned) -> None:
        """Adds units that another process with the same tokenizer has encoded."""
        numbers = np.fromiter(map(self._numbers.__getitem__, learned.words), np.int64)  # (L,)
        self._make_room()
        self._append(2 * numbers + learned.begins_line, learned)

    def _codes(self, words: list[str]) -> npt.NDArray[np.int64]:
        """(U,) codes of the units that consist of these words."""
        known = len(self._numbers)
        codes = np.fromiter(map(self._numbers.__getitem__, words), np.int64, len(words))
        for word in self._numbers.words[known:]:
            if word.split() != [word]:
                self._forget()  # an invalid word must not stay in the tables
                raise TextNotClean(f"not one word with single white space around it: {word!r}")
        self._make_room()
        breaks = codes < 2  # (U,) at this point, `codes` has the numbers of words
        codes *= 2
        codes[1:] += breaks[:-1]
        codes[:1] += 1  # the first unit of a text begins a line
        return codes

    def _make_room(self) -> None:
        """Extends the tables to the codes of all words that have a number."""
        missing = 2 * len(self._numbers) - len(self._lengths)
        if missing > 0:
            more = np.full(
                missing + len(self._lengths), UNKNOWN
            )  # doubles the length, so that this is rare
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
        """Encodes the L units with these codes and adds them to the tables."""
        codes = np.array(unknown)  # (L,)
        words = [self._numbers.words[code >> 1] for code in unknown]
        units = [
            word if code & 1 else " " + word for word, code in zip(words, unknown, strict=True)
        ]
        # One text per call, so that `tokenizers` starts no threads: the processes share the cores.
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
    """The words of a text, with special words for each end of a line and of a document."""
    if not text:
        return []
    if "\t" in text or DOCUMENT_END in text:
        raise TextNotClean("clean text has no white space but ' ' and '\\n'")
    marked = text.replace("\n\n", f" {DOCUMENT_END} ").replace("\n", f" {LINE_END} ")
    words = marked.split(" ")
    if text.endswith("\n"):
        words.pop()  # no word follows the last line break
    return words


def _check_splitting(tokenizer: Tokenizer) -> None:
    """Checks that the tokenizer splits text as the docstring of the module says."""
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
