"""Counts documents by their number of words, in bins with powers of two as limits."""

from dataclasses import dataclass, field


@dataclass
class DocumentLengths:
    """Number of documents by length: `bins[i]` counts those with 2**i to 2**(i+1) - 1 words."""

    bins: list[int] = field(default_factory=list)

    def add(self, words: int) -> None:
        """Counts a document of `words` words, at least 1."""
        self._add_to_bin(words.bit_length() - 1, 1)

    def merge(self, bins: list[int]) -> None:
        """Adds the counts of other bins."""
        for number, count in enumerate(bins):
            if count:
                self._add_to_bin(number, count)

    def _add_to_bin(self, number: int, count: int) -> None:
        self.bins += [0] * (number + 1 - len(self.bins))
        self.bins[number] += count


@dataclass(frozen=True)
class BlockLengths:
    """The lengths of the documents of a block.

    The first document may begin in an earlier block, and the last may continue in the next block.
    """

    first: int
    """Words before the first end of a document; all words if no document ends within the block."""
    last: int
    """Words after the last end of a document; 0 if no document ends within the block."""
    bins: list[int]
    """The documents in between, as in `DocumentLengths`."""


def block_lengths(content: str) -> BlockLengths:
    """The lengths of the documents of a cleaned block without an empty line at its start or end."""
    if not content:
        return BlockLengths(0, 0, [])
    first, *others = content.split("\n\n")
    if not others:
        return BlockLengths(_count_words(first), 0, [])
    last = others.pop()
    inner = DocumentLengths()
    for document in others:
        inner.add(_count_words(document))
    return BlockLengths(_count_words(first), _count_words(last), inner.bins)


def _count_words(document: str) -> int:
    """Number of words of lines with single spaces."""
    return document.count(" ") + document.count("\n") + 1
