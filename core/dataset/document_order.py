"""Reads the documents of a token file in another order, without a copy of their tokens.

Shapes: N tokens, M documents, K boundaries.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from core.dataset.tokens import TokenFile

Int64s = npt.NDArray[np.int64]


class DocumentOrder:
    """The stream of the tokens of a file, with its documents in a given order.

    The stream has the same N tokens as the file, and every document keeps its `<|endoftext|>`. The
    class holds an index of 24 bytes per document; a batch reads its tokens from the file.
    """

    def __init__(self, tokens: TokenFile, order: Int64s) -> None:
        """`order` (M,) lists the documents of the stream, each as its index in the file."""
        starts = np.append(tokens.documents.astype(np.int64), tokens.num_tokens)  # (M + 1,)
        self._tokens = tokens
        self._sources = starts[order]  # (M,)
        lengths = np.diff(starts)[order]  # (M,)
        self._begins = np.cumsum(lengths) - lengths  # (M,)
        words = tokens.word_counts(starts)[order]  # (M,)
        self._words = np.cumsum(words) - words  # (M,)

    def file_positions(self, positions: npt.NDArray[Any]) -> Int64s:
        """For each position in the stream, the position of its token in the file; any shape."""
        places = self._documents(positions)
        found: Int64s = self._sources[places] + (positions - self._begins[places])
        return found

    def word_counts(self, boundaries: Int64s) -> Int64s:
        """(K - 1,) number of words that start between neighbouring boundaries.

        Args:
            boundaries: (K,) positions in the stream from 0 to N, in ascending order.
        """
        places = self._documents(boundaries)  # (K,)
        sources = self._sources[places]
        ends = sources + (boundaries - self._begins[places])
        # For each boundary, counts the words of its document before the boundary. The positions are
        # sorted for this, because the documents may be in any order in the file, and
        # `TokenFile.word_counts` needs ascending positions.
        points = np.concatenate([[0], sources, ends])  # (2 K + 1,)
        by_position = np.argsort(points, kind="stable")
        before = np.empty_like(points)
        before[by_position] = np.append(0, self._tokens.word_counts(points[by_position])).cumsum()
        inside = before[1 + len(places) :] - before[1 : 1 + len(places)]
        counts: Int64s = np.diff(self._words[places] + inside)
        return counts

    def _documents(self, positions: npt.NDArray[Any]) -> Int64s:
        places: Int64s = np.searchsorted(self._begins, positions, "right") - 1
        return places
