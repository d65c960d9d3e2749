"""A tar archive that is made while it is sent; its bytes depend only on its entries."""

import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

READ_BYTES = 1 << 20


@dataclass(frozen=True)
class TarEntry:
    """A file, or a link if `target` is given."""

    name: str
    path: Path | None = None
    size: int = 0
    target: str | None = None
    is_hard: bool = False
    """Whether the link is a hard link to an earlier entry."""


class TarStream:
    """An uncompressed archive of known size."""

    def __init__(self, entries: Sequence[TarEntry]) -> None:
        self._entries = [(entry, _header(entry)) for entry in entries]

    def __len__(self) -> int:
        """Size of the archive in bytes."""
        body = sum(len(header) + _padded(entry.size) for entry, header in self._entries)
        return body + 2 * tarfile.BLOCKSIZE

    def __iter__(self) -> Iterator[bytes]:
        """The archive in blocks.

        Raises:
            OSError: If a file was removed or is shorter than its entry says.
        """
        for entry, header in self._entries:
            yield header
            if entry.path is not None:
                yield from _content(entry.path, entry.size)
        yield bytes(2 * tarfile.BLOCKSIZE)


def _header(entry: TarEntry) -> bytes:
    info = tarfile.TarInfo(entry.name)
    info.mode = 0o644
    info.size = entry.size
    if entry.target is not None:
        info.type = tarfile.LNKTYPE if entry.is_hard else tarfile.SYMTYPE
        info.linkname = entry.target
    return info.tobuf(tarfile.GNU_FORMAT)


def _content(path: Path, size: int) -> Iterator[bytes]:
    left = size
    with path.open("rb") as file:
        while left:
            block = file.read(min(READ_BYTES, left))
            if not block:
                raise OSError(f"{path.name} has become shorter")
            left -= len(block)
            yield block
    yield bytes(_padded(size) - size)


def _padded(size: int) -> int:
    return -(-size // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE
