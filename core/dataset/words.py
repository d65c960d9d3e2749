"""Where words start, told from token ids alone.

A word is what `str.split` gives: it starts at a byte that is not white space, at the start of a
document or after a space or a line break. Clean text has no other white space.

Letters: V vocabulary, N tokens.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from core.tokenizer.specials import SPECIAL_TOKENS

WHITE_SPACE = b" \n"
WORD_WITHIN = re.compile(rb"[ \n][^ \n]")
"""Where a word starts behind the first byte."""
Flags = npt.NDArray[np.bool_]
Integers = npt.NDArray[np.integer[Any]]  # Any: whatever width the ids come in


@dataclass(frozen=True)
class WordFlags:
    """What the bytes of each vocabulary entry say about words."""

    inner: Flags
    """(V,) bool: white space followed by something else lies within the entry."""
    opens: Flags
    """(V,) bool: begins with something else, so it starts a word if white space came before."""
    closes: Flags
    """(V,) bool: ends with white space, or is a special token: what follows starts a word."""

    @classmethod
    def of(cls, entries: Sequence[bytes | None]) -> "WordFlags":
        """Flags of a vocabulary given as bytes; None stands for a special token, not text.

        Raises:
            ValueError: If words could start twice within one entry; one bit a token is stored.
        """
        size = len(entries)
        inner, opens, closes = (np.zeros(size, dtype=np.bool_) for _ in range(3))
        for index, entry in enumerate(entries):
            if not entry:
                closes[index] = True
                continue
            begins_word = entry[0] not in WHITE_SPACE
            inside = len(WORD_WITHIN.findall(entry))
            inner[index], opens[index] = inside > 0, begins_word
            closes[index] = entry[-1] in WHITE_SPACE
            if inside + begins_word > 1:
                raise ValueError(f"two words may start in token {index}, {entry!r}")
        return cls(inner, opens, closes)

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


def byte_characters() -> dict[int, str]:
    """GPT-2's printable character for each byte (Radford et al. 2019, `bytes_to_unicode`)."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    hidden = [byte for byte in range(256) if byte not in printable]
    return {byte: chr(byte) for byte in printable} | {
        byte: chr(256 + place) for place, byte in enumerate(hidden)
    }
