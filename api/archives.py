"""Reads the text files of a zip or tar as streams; never extracts to a path that an archive names.

Archives may be malicious. Memory, time and output are limited independently of the headers of the
archive. If a parser fails, the archive is refused, and the error names the member.
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
"""Accepted suffixes. xz is not accepted, because one stream may need 4 GiB of memory."""
ZIP_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""Accepted compression methods of zip members. bzip2 and LZMA are not accepted, because `zipfile`
decompresses them without a limit on the output."""
METHOD_NAMES = {9: "deflate64", 12: "bzip2", 14: "LZMA", 93: "zstd", 95: "xz", 98: "PPMd"}
MAX_MEMBERS = 10_000
MAX_EXPANDED_BYTES = 8 << 30
MAX_RATIO = 200
"""Maximum ratio of the size of the content to that of the archive. Compressed text has a ratio of 5
to 10; a decompression bomb has a higher one."""
FREE_BYTES = 16 << 20
"""Bytes of content that are allowed on top of MAX_RATIO, because small archives may exceed it."""
MAX_READ_BYTES = 4 << 20
"""Maximum number of bytes that `zipfile` may read at once. This also limits the central directory
(the list of the members), because `zipfile` reads all of it at once."""

Member = tuple[PurePosixPath, "Reader"]


class Budget:
    """The number of bytes that an archive may still produce."""

    def __init__(self, archive_bytes: int) -> None:
        self._left = min(MAX_EXPANDED_BYTES, archive_bytes * MAX_RATIO + FREE_BYTES)

    def take(self, count: int) -> None:
        """Counts bytes of content.

        Raises:
            Problem: 413 if the bytes exceed the budget.
        """
        self._left -= count
        if self._left < 0:
            raise Problem(
                413,
                "archive_too_large",
                f"the decompressed archive is larger than {MAX_EXPANDED_BYTES:,} bytes or than "
                f"{MAX_RATIO} times the size of the uploaded file",
            )


class Reader:
    """The bytes of one member."""

    def __init__(self, source: Source, name: str) -> None:
        self._source = source
        self._name = name

    def read(self, size: int) -> bytes:
        """At most `size` of the next bytes.

        Raises:
            Problem: 422 if the member is damaged, 413 if the content of the archive is too large.
        """
        with _refusing(self._name):
            return self._source.read(size)


def is_archive(name: str) -> bool:
    """True for a name of a zip or tar."""
    return name.endswith(SUFFIXES)


def members(path: Path, name: str, wanted: Callable[[PurePosixPath], bool]) -> Iterator[Member]:
    """Yields path and content of each regular file for whose path `wanted` returns True.

    Read each file before you take the next one.

    Raises:
        Problem: 422 if the archive is damaged or has links, devices or encrypted members; 413 if
            its content is too large.
    """
    budget = Budget(path.stat().st_size)
    read = _zip_members if name.endswith(".zip") else _tar_members
    yield from read(path, wanted, budget)


@contextmanager
def _refusing(member: str | None) -> Iterator[None]:
    """Turns errors of the parsers into a 422 problem; errors of the disk pass unchanged.

    The parsers raise not only their own errors, but also ValueError, IndexError, OverflowError,
    UnicodeDecodeError, or OSError for a seek to a negative offset.
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
    """A file that refuses large reads, because `zipfile` takes read sizes from the archive."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is None or size < 0:
            size = max(0, os.fstat(self.fileno()).st_size - self.tell())
        if size > MAX_READ_BYTES:
            raise Problem(413, "archive_too_large", "the archive's list of members is too long")
        return super().read(size)


class _Counted:
    """A source that counts its bytes in the budget."""

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
                raise _refused(f"{entry.filename!r} is not a regular file")
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
                raise _refused(f"{entry.name!r} is not a regular file")
            inner = _member_path(entry.name)
            if wanted(inner):
                yield inner, Reader(archive, entry.name)


def _member_path(name: str) -> PurePosixPath:
    """The path of a member; archives made on Windows may separate its parts by backslashes."""
    return PurePosixPath(name.replace("\\", "/"))


def _check_count(count: int) -> None:
    if count > MAX_MEMBERS:
        detail = f"the archive has more than {MAX_MEMBERS:,} members"
        raise Problem(413, "archive_too_large", detail)


def _refused(detail: str) -> Problem:
    return Problem(422, "archive_invalid", detail)
