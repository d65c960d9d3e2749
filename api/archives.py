"""Reads the text files of a zip or tar as streams; never extracts to a path that an archive names.

Archives are hostile input. Memory, time and output are bounded whatever their headers claim, and
every failure of a parser is a refusal that names the member.
"""

import errno
import io
import logging
import os
import stat
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from api.errors import Problem
from api.tar_reader import Gzip, Source, TarReader

log = logging.getLogger(__name__)

SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz")
"""Without xz and bz2: an xz stream may ask for 4 GiB of memory before its first byte."""
ZIP_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""`zipfile` decompresses the other methods (bzip2, LZMA) without any limit on the output."""
METHOD_NAMES = {9: "deflate64", 12: "bzip2", 14: "LZMA", 93: "zstd", 95: "xz", 98: "PPMd"}
MAX_MEMBERS = 10_000
MAX_EXPANDED_BYTES = 8 << 30
MAX_RATIO = 200
"""Text compresses to a fifth or a tenth; a higher ratio is a decompression bomb."""
FREE_BYTES = 16 << 20
"""Output that is allowed at any ratio: tiny archives of tiny texts."""
MAX_READ_BYTES = 4 << 20
"""Largest single read of `zipfile`, which loads the central directory at once."""

Member = tuple[PurePosixPath, "Reader"]


class Budget:
    """The number of bytes that an archive may still produce."""

    def __init__(self, archive_bytes: int) -> None:
        self._left = min(MAX_EXPANDED_BYTES, archive_bytes * MAX_RATIO + FREE_BYTES)

    def take(self, count: int) -> None:
        """Counts bytes that were produced.

        Raises:
            Problem: 413 if they exceed the budget.
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
    """The bytes of one member."""

    def __init__(self, source: Source, name: str) -> None:
        self._source = source
        self._name = name

    def read(self, size: int) -> bytes:
        """At most `size` of the next bytes.

        Raises:
            Problem: 422 if the member is damaged, 413 if the archive produces too much.
        """
        with _refusing(self._name):
            return self._source.read(size)


def is_archive(name: str) -> bool:
    """True for a name of a zip or tar."""
    return name.endswith(SUFFIXES)


def members(path: Path, name: str, wanted: Callable[[PurePosixPath], bool]) -> Iterator[Member]:
    """The regular files of an archive whose path is `wanted`, each to be read before the next.

    Raises:
        Problem: 422 if the archive is damaged or has links, devices or encrypted members; 413 if it
            produces too much.
    """
    budget = Budget(path.stat().st_size)
    read = _zip_members if name.endswith(".zip") else _tar_members
    yield from read(path, wanted, budget)


@contextmanager
def _refusing(member: str | None) -> Iterator[None]:
    """Turns every failure of a parser into a refusal.

    The parsers raise whatever they run into: besides errors of their own ValueError, IndexError,
    OverflowError, UnicodeDecodeError, or OSError for a seek to a negative offset.
    """
    try:
        yield
    except Problem:
        raise
    except OSError as error:
        if error.errno not in (None, errno.EINVAL):  # a failure of the disk
            raise
        raise _damaged(member, error) from error
    except Exception as error:
        raise _damaged(member, error) from error


def _damaged(member: str | None, error: Exception) -> Problem:
    log.debug("damaged archive, member %r", member, exc_info=error)
    where = "" if member is None else f" at {member!r}"
    return _refused(f"the archive is damaged{where}: {str(error) or type(error).__name__}")


class _CappedFile(io.BufferedReader):
    """A file without large reads: the sizes that `zipfile` reads come from the archive itself."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is None or size < 0:
            size = max(0, os.fstat(self.fileno()).st_size - self.tell())
        if size > MAX_READ_BYTES:
            raise Problem(413, "archive_too_large", "its list of members is too long")
        return super().read(size)


class _Counted:
    """A source whose output counts against the budget."""

    def __init__(self, source: Source, budget: Budget) -> None:
        self._source = source
        self._budget = budget

    def read(self, size: int, /) -> bytes:
        data = self._source.read(size)
        self._budget.take(len(data))
        return data


def _zip_members(
    path: Path, wanted: Callable[[PurePosixPath], bool], budget: Budget
) -> Iterator[Member]:
    with _CappedFile(io.FileIO(path)) as file:
        with _refusing(None):
            archive = zipfile.ZipFile(file)
        entries = archive.infolist()
        _check_count(len(entries))
        for entry in entries:
            kind = stat.S_IFMT(entry.external_attr >> 16)
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise _refused(f"{entry.filename!r} is no regular file")
            inner = _member_path(entry.filename)
            if entry.is_dir() or not wanted(inner):
                continue
            _check_readable(entry)
            with _refusing(entry.filename):
                content = archive.open(entry)
            with content:
                yield inner, Reader(_Counted(content, budget), entry.filename)


def _check_readable(entry: zipfile.ZipInfo) -> None:
    if entry.flag_bits & 1:
        raise _refused(f"{entry.filename!r} is encrypted")
    if entry.compress_type not in ZIP_METHODS:
        method = METHOD_NAMES.get(entry.compress_type, "unknown")
        raise _refused(
            f"{entry.filename!r} is compressed with method {entry.compress_type} ({method}), which "
            "is not supported; create the archive with deflate, the default of zip programs"
        )


def _tar_members(
    path: Path, wanted: Callable[[PurePosixPath], bool], budget: Budget
) -> Iterator[Member]:
    with path.open("rb") as file:
        is_gzip = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        # Skipped members count too: skipping decompresses them.
        archive = TarReader(_Counted(Gzip(file) if is_gzip else file, budget))
        entries = iter(archive)
        previous: str | None = None
        for number in range(1, MAX_MEMBERS + 2):
            with _refusing(previous):
                entry = next(entries, None)
            if entry is None:
                return
            _check_count(number)
            previous = entry.name
            if entry.is_directory:
                continue
            if not entry.is_regular:
                raise _refused(f"{entry.name!r} is no regular file")
            inner = _member_path(entry.name)
            if wanted(inner):
                yield inner, Reader(archive, entry.name)


def _member_path(name: str) -> PurePosixPath:
    """The path of a member; archives made on Windows may separate its parts by backslashes."""
    return PurePosixPath(name.replace("\\", "/"))


def _check_count(count: int) -> None:
    if count > MAX_MEMBERS:
        detail = f"it has more than {MAX_MEMBERS:,} members"
        raise Problem(413, "archive_too_large", detail)


def _refused(detail: str) -> Problem:
    return Problem(422, "archive_invalid", detail)
