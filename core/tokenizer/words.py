"""Finds where words start, from token ids alone.

A word is what `str.split` gives. It starts at a byte that is not white space, if this byte is the
first of a document or follows a space or a line break. Clean text has no other white space.

Shapes: V entries of the vocabulary, F of them with bytes, B bytes of all entries, N tokens.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from core.tokenizer.byte_level import byte_characters
from core.tokenizer.specials import SPECIAL_TOKENS

WHITE_SPACE = b" \n"
Flags = npt.NDArray[np.bool_]
Integers = npt.NDArray[np.integer[Any]]  # ids of any integer dtype


@dataclass(frozen=True)
class WordFlags:
    """Properties of each vocabulary entry, from which the starts of words follow."""

    inner: Flags
    """(V,) bool: the entry contains white space followed by another byte, so a word starts within
    the entry."""
    opens: Flags
    """(V,) bool: the entry begins with a byte that is not white space. A word starts with it if
    `closes` is true for the token before it."""
    closes: Flags
    """(V,) bool: the entry ends with white space or is a special token. A word may start after
    it."""

    @classmethod
    def of(cls, entries: Sequence[bytes | None]) -> "WordFlags":
        """The flags of a vocabulary. Each entry is given by its bytes; None for a special token.

        Raises:
            ValueError: If two words could start in one entry. Token files cannot represent this,
                because they have one bit per token.
        """
        text = np.frombuffer(b"".join(entry or b"" for entry in entries), np.uint8)  # (B,)
        is_space = np.isin(text, np.frombuffer(WHITE_SPACE, np.uint8))  # (B,)
        lengths = np.array([len(entry or b"") for entry in entries])  # (V,)
        (filled,) = np.nonzero(lengths)  # (F,)
        ends = np.cumsum(lengths)[filled]  # (F,)
        begins = ends - lengths[filled]  # (F,)
        within = ~is_space  # (B,) whether a word starts at a byte within an entry
        within[1:] &= is_space[:-1]
        within[begins] = False
        inside = np.zeros(len(entries), np.int64)
        inside[filled] = np.add.reduceat(within, begins, dtype=np.int64)
        opens = np.zeros(len(entries), np.bool_)
        opens[filled] = ~is_space[begins]
        closes = np.ones(len(entries), np.bool_)
        closes[filled] = is_space[ends - 1]
        (twice,) = np.nonzero(inside + opens > 1)
        if len(twice):
            raise ValueError(f"two words may start in token {twice[0]}, {entries[twice[0]]!r}")
        return cls(inside > 0, opens, closes)

    def starts(self, ids: Integers) -> Flags:
        """Whether a word starts in each token of a document: (N,) integer -> (N,) bool."""
        follows = np.empty(len(ids), dtype=np.bool_)  # (N,)
        follows[:1] = True
        follows[1:] = self.closes[ids[:-1]]
        follows &= self.opens[ids]
        follows |= self.inner[ids]
        return follows


def vocabulary_bytes(tokenizer: Tokenizer) -> list[bytes | None]:
    """The bytes of each vocabulary entry, by id; None for special tokens and unused ids."""
    byte_of = {ord(character): byte for byte, character in byte_characters().items()}
    vocabulary = tokenizer.get_vocab(with_added_tokens=True)
    entries: list[bytes | None] = [None] * (max(vocabulary.values()) + 1)
    for text, index in vocabulary.items():
        if text not in SPECIAL_TOKENS:
            entries[index] = text.translate(byte_of).encode("latin-1")
    return entries
