"""A text file in chunks of whole lines, and what encodes a chunk in whatever process.

Imports little, because a helper process waits for it.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from core.errors import CorpusEncoding
from core.tokenizer.loading import load_tokenizer
from core.tokenizer.units import Encoded, Learned, TextNotClean, UnitEncoder

CHUNK_BYTES = 1 << 17
"""Text encoded at once. Its words fit a core's cache: twice or half as much takes 6 % longer."""
LARGEST_UINT16_VOCABULARY = 1 << 16


@dataclass(frozen=True)
class Chunk:
    """Whole lines of a text file."""

    path: Path
    begin: int
    end: int
    is_last: bool
    """The file ends here, and with it a document."""


@dataclass(frozen=True)
class EncodedChunk:
    """The tokens of a chunk."""

    encoded: Encoded
    num_bytes: int
    """Of document text."""
    vocab_size: int
    """Of the tokenizer; every id is below."""


class ChunkEncoder:
    """Encodes chunks with the tokenizer of a folder."""

    def __init__(self, tokenizer: Path) -> None:
        self._encoder = UnitEncoder(load_tokenizer(tokenizer))
        self._dtype = np.dtype(token_dtype(self._encoder.vocab_size))

    def news(self) -> list[Learned]:
        """What was learned since the last call, for the other processes."""
        return self._encoder.news()

    def adopt(self, news: list[Learned]) -> None:
        """Takes the news of another process."""
        for learned in news:
            self._encoder.adopt(learned)

    def __call__(self, chunk: Chunk) -> EncodedChunk:
        """The tokens of a chunk, ids as wide as the token file has them.

        Raises:
            CorpusEncoding: If it is not UTF-8.
            TextNotClean: If it is not what the clean stage writes.
            TokenOutOfVocabulary: If the tokenizer gives an id that is not below its size.
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
    """The file in chunks, cut behind line breaks, never between the two of an empty line.

    Args:
        path: The file.
        begin: Where the first chunk begins; 0 or the end of a chunk, of whatever size.
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
    """The narrowest type that holds every id."""
    return "uint16" if vocab_size <= LARGEST_UINT16_VOCABULARY else "uint32"
