"""Decompresses files as streams, with limits on memory and output."""

import gzip
import lzma
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Protocol

from core.errors import CorpusDamaged, CorpusReaderMissing, CorpusTooLarge

if TYPE_CHECKING:
    import zstandard

MAX_TEXT_BYTES = 8 << 30
"""Maximum bytes of the decompressed text of one file."""
MAX_RATIO = 200
"""Maximum ratio of a text to its compressed file. Text has a ratio of 5 to 10; a file with a far
higher ratio is a decompression bomb."""
FREE_BYTES = 16 << 20
"""Number of bytes of output that are allowed at any ratio, because a small file of repeated words
also has a high ratio."""
MAX_WINDOW_BYTES = 128 << 20
"""Maximum bytes of memory of a decoder; `xz -9` needs 65 MiB, `zstd --ultra -22` 128 MiB."""
READ_BYTES = 1 << 20
FEED_BYTES = 1 << 10
"""Number of bytes that the Zstandard decoder gets at once. The decoder has no limit on its output,
but it cannot produce more than 32 MiB from this number of bytes."""
INCOMPLETE = "the file ends within a compressed stream"
DAMAGED = (OSError, EOFError, zlib.error, lzma.LZMAError)
"""Exceptions that decoders raise for content that is damaged or of another format."""


class Stream(Protocol):
    """Bytes that are read once, from the beginning."""

    def read(self, size: int, /) -> bytes:
        """At most `size` of the next bytes; empty at the end."""


class Budget:
    """The number of bytes that a file may still produce."""

    def __init__(self, path: Path, *, ratio: int | None = MAX_RATIO) -> None:
        self._path = path
        self._left = MAX_TEXT_BYTES
        if ratio is not None:
            self._left = min(self._left, path.stat().st_size * ratio + FREE_BYTES)

    def take(self, count: int) -> None:
        """Subtracts `count` produced bytes from the budget.

        Raises:
            CorpusTooLarge: If the budget is exceeded.
        """
        self._left -= count
        if self._left < 0:
            raise CorpusTooLarge(
                f"{self._path} gives more than {MAX_TEXT_BYTES >> 30} GiB of text, or more than "
                f"{MAX_RATIO} times its own size"
            )


@contextmanager
def open_stream(path: Path, compression: str) -> Iterator[Stream]:
    """The decompressed bytes of a file; `compression` is a suffix such as `.gz`, or empty.

    Raises:
        CorpusDamaged: While reading, if the content is of another format or incomplete.
        CorpusTooLarge: While reading, if the output exceeds the limits.
        CorpusReaderMissing: If the package that decompresses the file is not installed.
    """
    with path.open("rb") as file:
        yield decompressed(path, file, compression)


def decompressed(path: Path, file: IO[bytes], compression: str) -> Stream:
    """The decompressed bytes of an open file; see `open_stream`."""
    return _Bounded(path, _decoder(path, file, compression)) if compression else file


class _Bounded:
    """Limits the output of a decoder, and names the file in its errors."""

    def __init__(self, path: Path, decoder: Stream) -> None:
        self._path, self._decoder = path, decoder
        self._budget = Budget(path)

    def read(self, size: int, /) -> bytes:
        try:
            data = self._decoder.read(size)
        except DAMAGED as error:
            raise damaged(self._path, error) from error
        self._budget.take(len(data))
        return data


def damaged(path: Path, error: Exception) -> CorpusDamaged:
    """The error for a file that its reader rejects."""
    reason = str(error) or type(error).__name__
    return CorpusDamaged(f"{path} cannot be read as {path.suffix.lower()}: {reason}")


def _decoder(path: Path, file: IO[bytes], compression: str) -> Stream:
    if compression == ".gz":
        return gzip.GzipFile(fileobj=file)
    if compression == ".xz":
        return _Xz(file)
    return _zstandard(path, file)


class _Xz:
    """Decompresses the streams of an xz file with limited memory, unlike `lzma.LZMAFile`."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._decoder: lzma.LZMADecompressor | None = None
        self._waiting = b""

    def read(self, size: int, /) -> bytes:
        # Reads no further ahead than needed: `text_head` computes a share from the file position.
        wanted = min(size, READ_BYTES)
        while True:
            if self._decoder is None:
                waiting = (self._waiting or self._file.read(wanted)).lstrip(b"\0")  # padding
                if not waiting:
                    return b""
                self._decoder = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=MAX_WINDOW_BYTES)
                self._waiting = waiting
            given = self._waiting
            if not given and self._decoder.needs_input:
                given = self._file.read(wanted)
                if not given:
                    raise EOFError(INCOMPLETE)
            data = self._decoder.decompress(given, size)
            self._waiting = b""
            if self._decoder.eof:
                self._waiting, self._decoder = self._decoder.unused_data, None
            if data:
                return data


def _zstandard(path: Path, file: IO[bytes]) -> Stream:
    try:
        import zstandard
    except ImportError as error:
        raise CorpusReaderMissing(
            f"{path} is compressed with Zstandard, and the package zstandard is not installed",
            hint="Install it with `pip install 'babylm-service[zstd]'`, or compress with gzip.",
        ) from error
    decoder = zstandard.ZstdDecompressor(max_window_size=MAX_WINDOW_BYTES)
    return _Zstandard(file, decoder.decompressobj, zstandard.ZstdError)


class _Zstandard:
    """Decompresses the frames of a Zstandard file.

    This class replaces the reader of the package, which accepts truncated files.
    """

    def __init__(
        self,
        file: IO[bytes],
        make: Callable[[], "zstandard.ZstdDecompressionObj"],
        failure: type[Exception],
    ) -> None:
        self._file, self._make, self._failure = file, make, failure
        self._decoder: zstandard.ZstdDecompressionObj | None = None
        self._waiting = self._ready = b""

    def read(self, size: int, /) -> bytes:
        while not self._ready:
            given = self._waiting or self._file.read(FEED_BYTES)
            if not given:
                if self._decoder is not None:
                    raise EOFError(INCOMPLETE)
                return b""
            if self._decoder is None:
                self._decoder = self._make()
            try:
                self._ready, self._waiting = self._decoder.decompress(given), b""
            except self._failure as error:
                raise OSError(str(error)) from error
            if self._decoder.eof:
                self._waiting, self._decoder = self._decoder.unused_data, None
        data, self._ready = self._ready[:size], self._ready[size:]
        return data
