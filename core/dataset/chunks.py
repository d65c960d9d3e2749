"""Splits text files into chunks of whole lines, which the processes of a pool encode.

The module imports little, so that pool workers start fast.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from core.errors import CorpusEncoding
from core.tokenizer.loading import load_tokenizer
from core.tokenizer.units import Encoded, Learned, TextNotClean, UnitEncoder

CHUNK_BYTES = 1 << 17
"""Bytes per chunk. The words of such a chunk fit into the cache of a core. With half or twice as
many bytes per chunk, encoding takes 6 % longer."""
LARGEST_UINT16_VOCABULARY = 1 << 16


@dataclass(frozen=True)
class Chunk:
    """A range of whole lines of a text file."""

    path: Path
    begin: int
    end: int
    is_last: bool
    """Whether the chunk is the last of its file. The end of a file also ends a document."""


@dataclass(frozen=True)
class EncodedChunk:
    """The tokens of a chunk."""

    encoded: Encoded
    num_bytes: int
    """Number of bytes of text, without the two line breaks at the end of each document."""
    vocab_size: int
    """Vocabulary size of the tokenizer; every id is below it."""


class ChunkEncoder:
    """Encodes chunks with the tokenizer of a folder."""

    def __init__(self, tokenizer: Path) -> None:
        self._encoder = UnitEncoder(load_tokenizer(tokenizer))
        self._dtype = np.dtype(token_dtype(self._encoder.vocab_size))

    def news(self) -> list[Learned]:
        """The words that this process has encoded since the last call, for the other processes."""
        return self._encoder.news()

    def adopt(self, news: list[Learned]) -> None:
        """Adds words that another process has encoded."""
        for learned in news:
            self._encoder.adopt(learned)

    def __call__(self, chunk: Chunk) -> EncodedChunk:
        """The tokens of a chunk, with ids in the dtype of the token file.

        Raises:
            CorpusEncoding: If the chunk is not UTF-8.
            TextNotClean: If the chunk is not in the format that the clean stage writes.
            TokenOutOfVocabulary: If the tokenizer gives an id that is not in its vocabulary.
        """
        with chunk.path.open("rb") as file:
            file.seek(chunk.begin)
            raw = file.read(chunk.end - chunk.begin)
        if chunk.is_last:
            raw = raw.rstrip(b"\n")
            raw += b"\n\n" if raw else b""
        try:
            encoded = self._encoder.encode(raw.decode())
        except UnicodeDecodeError as error:
            position = chunk.begin + error.start
            raise CorpusEncoding(f"{chunk.path}: not UTF-8 at byte {position:,}") from error
        except TextNotClean as error:
            where = f"{chunk.path}, bytes {chunk.begin:,} to {chunk.end:,}"
            raise TextNotClean(f"{where}: {error}") from error
        encoded = replace(encoded, ids=encoded.ids.astype(self._dtype))
        num_bytes = len(raw) - 2 * len(encoded.document_ends)
        return EncodedChunk(encoded, num_bytes, self._encoder.vocab_size)


def split_file(path: Path, *, begin: int = 0) -> Iterator[Chunk]:
    """The chunks of a file, which end at line breaks but never before an empty line.

    Args:
        path: The file.
        begin: Start of the first chunk in bytes: 0 or the end of an earlier chunk.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        while begin < size:
            file.seek(begin + CHUNK_BYTES)
            file.readline()
            end = min(file.tell(), size)
            if file.read(1) == b"\n":
                end += 1
            yield Chunk(path, begin, end, is_last=end == size)
            begin = end


def token_dtype(vocab_size: int) -> str:
    """The smallest dtype that can represent every id."""
    return "uint16" if vocab_size <= LARGEST_UINT16_VOCABULARY else "uint32"
