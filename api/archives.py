"""Text files out of a zip or tar, read as streams: nothing is ever extracted to a path it names."""

import gzip
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path, PurePosixPath
from typing import Protocol

from api.errors import Problem

SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz")
"""No xz or bz2: an xz stream may ask for 4 GiB of memory before its first byte."""
MAX_MEMBERS = 10_000
MAX_EXPANDED_BYTES = 8 << 30
MAX_RATIO = 200
"""Text shrinks to a fifth or a tenth; what grows more than this was made to fill a disk."""
FREE_BYTES = 16 << 20
"""So much may always come out, whatever the ratio: tiny archives of tiny texts."""
MAX_DIRECTORY_BYTES = 16 << 20
"""Of a zip: Python reads its list of members whole."""
MAX_HEADER_BYTES = 1 << 20
"""Of a member of a tar: Python reads long names and pax headers whole."""
END_OF_DIRECTORY, END_OF_DIRECTORY_64 = b"PK\x05\x06", b"PK\x06\x06"

Member = tuple[PurePosixPath, "Reader"]


class _Source(Protocol):
    def read(self, size: int = -1, /) -> bytes:
        """At most `size` of the next bytes."""


class Budget:
    """How much may still come out of an archive."""

    def __init__(self, archive_bytes: int) -> None:
        self._left = min(MAX_EXPANDED_BYTES, archive_bytes * MAX_RATIO + FREE_BYTES)

    def take(self, count: int) -> None:
        """Counts what came out.

        Raises:
            Problem: 413 if it is too much.
        """
        self._left -= count
        if self._left < 0:
            raise Problem(
                413,
                "archive_too_large",
                f"unpacked it is more than {MAX_EXPANDED_BYTES:,} bytes or than {MAX_RATIO} times "
                "its size",
            )


class Reader:
    """The bytes of one member, counted; what is damaged is refused while it is read."""

    def __init__(self, file: _Source, budget: Budget) -> None:
        self._file = file
        self._budget = budget

    def read(self, size: int) -> bytes:
        """At most `size` of the next bytes."""
        with _refusing():
            data = self._file.read(size)
        self._budget.take(len(data))
        return data


def is_archive(name: str) -> bool:
    """True for a name of a zip or tar."""
    return name.endswith(SUFFIXES)


def members(path: Path, name: str, wanted: Callable[[PurePosixPath], bool]) -> Iterator[Member]:
    """The regular files of an archive whose name is `wanted`, to be read before the next is asked.

    Raises:
        Problem: 422 if it is damaged or holds links, devices or what is encrypted; 413 if too much
            comes out of it.
    """
    budget = Budget(path.stat().st_size)
    read = _zip_members if name.endswith(".zip") else _tar_members
    with _refusing():
        yield from read(path, wanted, budget)


@contextmanager
def _refusing() -> Iterator[None]:
    """Turns what damaged archives raise into a refusal."""
    try:
        yield
    except (zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError, struct.error) as error:
        raise _refused(f"the archive is damaged: {error}") from error
    except gzip.BadGzipFile as error:
        raise _refused(f"the archive is damaged: {error}") from error
    except NotImplementedError as error:  # as zipfile reports other methods
        raise _refused(f"the archive cannot be read: {error}") from error


def _zip_members(
    path: Path, wanted: Callable[[PurePosixPath], bool], budget: Budget
) -> Iterator[Member]:
    _check_directory(path)
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        _check_count(len(entries))
        for entry in entries:
            kind = stat.S_IFMT(entry.external_attr >> 16)
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise _refused(f"{entry.filename!r} is no regular file")
            inner = _member_path(entry.filename)
            if entry.is_dir() or not wanted(inner):
                continue
            if entry.flag_bits & 1:
                raise _refused(f"{entry.filename!r} is encrypted")
            with archive.open(entry) as file:
                yield inner, Reader(file, budget)


def _check_directory(path: Path) -> None:
    """Refuses a zip whose list of members would fill the memory (APPNOTE 4.3.14 and 4.3.16)."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - (1 << 16) - 128))
        tail = file.read()
    at = tail.rfind(END_OF_DIRECTORY)
    if at < 0:
        raise zipfile.BadZipFile("it has no list of members")
    count, size = struct.unpack_from("<HI", tail, at + 10)
    at_64 = tail.rfind(END_OF_DIRECTORY_64, 0, at)
    if at_64 >= 0:
        count, size = struct.unpack_from("<QQ", tail, at_64 + 32)
    _check_count(count)
    if size > MAX_DIRECTORY_BYTES:
        raise Problem(413, "archive_too_large", "its list of members is too long")


class _Info(tarfile.TarInfo):
    """A header of a tar that may not be longer than any name is."""

    def _proc_member(self, archive: tarfile.TarFile) -> tarfile.TarInfo:
        is_header = self.type in tarfile.SUPPORTED_TYPES and not (
            self.isreg() or self.isdir() or self.issym() or self.islnk() or self.isdev()
        )
        if is_header and self.size > MAX_HEADER_BYTES:
            raise tarfile.ReadError("it has a header that is too long")
        made: tarfile.TarInfo = super()._proc_member(archive)  # type: ignore[misc]
        return made


class _Counted:
    """A stream of an archive that stops when too much has come out of it."""

    def __init__(self, file: _Source, budget: Budget) -> None:
        self._file = file
        self._budget = budget

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        self._budget.take(len(data))
        return data


def _tar_members(
    path: Path, wanted: Callable[[PurePosixPath], bool], budget: Budget
) -> Iterator[Member]:
    with path.open("rb") as start:
        is_gzip = start.read(2) == b"\x1f\x8b"
    opened = gzip.GzipFile(path, "rb") if is_gzip else path.open("rb")
    # Everything that is unpacked is counted here, what is skipped too.
    source = _Counted(opened, budget)
    free = Budget(1 << 62)
    with closing(opened), tarfile.open(fileobj=source, mode="r|", tarinfo=_Info) as archive:  # type: ignore[call-overload]
        for number, entry in enumerate(archive, start=1):
            _check_count(number)
            if entry.isdir():
                continue
            if not entry.isreg() or entry.issparse():
                raise _refused(f"{entry.name!r} is no regular file")
            inner = _member_path(entry.name)
            archive.members = []  # tarfile keeps every header that it has seen
            if wanted(inner):
                file = archive.extractfile(entry)
                assert file is not None
                yield inner, Reader(file, free)


def _member_path(name: str) -> PurePosixPath:
    """The path of a member; archives made on Windows may separate its parts by backslashes."""
    return PurePosixPath(name.replace("\\", "/"))


def _check_count(count: int) -> None:
    if count > MAX_MEMBERS:
        detail = f"it has more than {MAX_MEMBERS:,} members"
        raise Problem(413, "archive_too_large", detail)


def _refused(detail: str) -> Problem:
    return Problem(422, "archive_invalid", detail)
