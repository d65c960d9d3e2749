"""The token file of a split: its format and its reader.

Shapes: N tokens, M documents.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from core.errors import TokenFileDamaged

FORMAT_VERSION = 1
TOKENS, WORD_STARTS, DOCUMENTS, META = "tokens.bin", "word_starts.bin", "documents.bin", "meta.json"
DTYPES: dict[str, np.dtype[Any]] = {"uint16": np.dtype("<u2"), "uint32": np.dtype("<u4")}
"""The dtypes of token ids, little-endian on every machine, so that a cache is portable."""
BLOCK_BYTES = 1 << 20
"""Bytes of `word_starts` that are counted at once: one bit per token, so 8 million tokens."""

Integers = npt.NDArray[np.integer[Any]]  # of any integer dtype
Counts = npt.NDArray[np.int64]


class SourceCounts(BaseModel):
    """Counts of one source file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    tokens: int = Field(default=0, ge=0)
    """Number of tokens, including `<|endoftext|>`."""
    words: int = Field(default=0, ge=0)
    documents: int = Field(default=0, ge=0)
    bytes: int = Field(default=0, ge=0)


class TokenMeta(BaseModel):
    """The content of `meta.json`, which describes the other files of the folder."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format_version: Literal[1] = 1
    dtype: Literal["uint16", "uint32"]
    vocab_size: int = Field(ge=1)
    num_tokens: int = Field(ge=1)
    num_words: int = Field(ge=0)
    num_documents: int = Field(ge=1)
    num_bytes: int = Field(ge=0)
    """UTF-8 bytes of the documents' texts, including line breaks within them."""
    sources: dict[str, SourceCounts]
    """Counts by file stem, in the order of the token file."""


@dataclass(frozen=True)
class TokenFile:
    """A memory-mapped token file."""

    folder: Path
    meta: TokenMeta
    ids: npt.NDArray[np.unsignedinteger[Any]]  # 16 or 32 bits, see meta.dtype
    """(N,) uint16 or uint32; each document is followed by `<|endoftext|>`."""
    documents: npt.NDArray[np.uint64]
    """(M,) index of the first token of each document."""
    word_starts: npt.NDArray[np.uint8]
    """(ceil(N / 8),) one bit per token, lowest bit first: 1 if a word starts in the token."""

    @classmethod
    def open(cls, folder: Path) -> "TokenFile":
        """The token file in `folder`.

        Raises:
            TokenFileDamaged: If a file is missing or its size does not match `meta.json`.
        """
        try:
            meta = TokenMeta.model_validate_json((folder / META).read_bytes())
        except (OSError, ValidationError) as error:
            raise TokenFileDamaged(f"{folder / META} cannot be read: {error}") from error
        return cls(
            folder=folder,
            meta=meta,
            ids=_map(folder / TOKENS, DTYPES[meta.dtype], meta.num_tokens),
            documents=_map(folder / DOCUMENTS, np.dtype("<u8"), meta.num_documents),
            word_starts=_map(folder / WORD_STARTS, np.dtype("u1"), -(-meta.num_tokens // 8)),
        )

    @property
    def num_tokens(self) -> int:
        """Number of tokens, including `<|endoftext|>`."""
        return self.meta.num_tokens

    @property
    def num_words(self) -> int:
        """Number of white-space separated words."""
        return self.meta.num_words

    @property
    def num_documents(self) -> int:
        """Number of documents."""
        return self.meta.num_documents

    @property
    def num_bytes(self) -> int:
        """UTF-8 bytes of the text."""
        return self.meta.num_bytes

    @property
    def vocab_size(self) -> int:
        """Vocabulary size of the tokenizer; each id is below it."""
        return self.meta.vocab_size

    def word_counts(self, boundaries: Integers) -> Counts:
        """Number of words that start between each boundary and the next.

        Args:
            boundaries: (K + 1,) token positions from 0 to N, in ascending order.

        Returns:
            (K,) int64.
        """
        return np.diff(self._words_before(np.asarray(boundaries, np.int64)))

    def _words_before(self, positions: Counts) -> Counts:
        """Number of words that start before each of the ascending positions, counted by blocks."""
        if len(positions) and (
            positions[0] < 0 or positions[-1] > self.num_tokens or np.any(np.diff(positions) < 0)
        ):
            raise ValueError(f"boundaries must be ascending and within 0 to {self.num_tokens}")
        words = np.zeros(len(positions), np.int64)
        before = 0
        for begin in range(0, len(self.word_starts), BLOCK_BYTES):
            block = np.zeros(BLOCK_BYTES + 8, np.uint8)  # positions may equal the block end
            part = self.word_starts[begin : begin + BLOCK_BYTES]
            block[: len(part)] = part
            bits = block.view("<u8")
            ranks = np.cumsum(np.bitwise_count(bits), dtype=np.int64) - np.bitwise_count(bits)
            # A position between two blocks is computed for both, with the same result.
            first = np.searchsorted(positions, begin * 8, "left")
            last = np.searchsorted(positions, (begin + BLOCK_BYTES) * 8, "right")
            local = positions[first:last] - begin * 8
            below = (np.uint64(1) << (local & 63).astype(np.uint64)) - np.uint64(1)
            inside = np.bitwise_count(bits[local >> 6] & below)
            words[first:last] = before + ranks[local >> 6] + inside
            before += int(ranks[-1])
        return words


def _map(path: Path, dtype: np.dtype[Any], length: int) -> npt.NDArray[Any]:
    try:
        size = path.stat().st_size
    except FileNotFoundError as error:
        raise TokenFileDamaged(f"{path} is missing") from error
    if size != length * dtype.itemsize:
        raise TokenFileDamaged(
            f"{path} has {size:,} bytes; {length:,} entries need {length * dtype.itemsize:,}"
        )
    return np.memmap(path, dtype=dtype, mode="r", shape=(length,))
