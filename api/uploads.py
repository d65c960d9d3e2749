"""Receiving a file piece by piece: what has arrived is kept, what is published is whole.

A part lies in `.uploads/<dataset>/<file>.part` beside the datasets, locked while somebody sends.
"""

import codecs
import errno
import fcntl
import hashlib
import os
import re
import shutil
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Protocol
from uuid import uuid4

import anyio
from anyio.to_thread import run_sync
from starlette.requests import ClientDisconnect

from api.archives import SUFFIXES as ARCHIVE_SUFFIXES
from api.archives import is_archive, members
from api.errors import Problem
from core.corpus.sources import SUFFIXES as TEXT_SUFFIXES
from core.rundir import publish_folder, sync_folder
from core.spec import NAME

PART = ".part"
STALL_SECONDS = 60.0
BUFFER_BYTES = 1 << 20
KEEP_SECONDS = 7 * 24 * 3600.0
"""A part that nobody has gone on with for so long is removed."""
RANGE = re.compile(r"bytes (\d{1,15})-(\d{1,15})/(\d{1,15})")


@dataclass(frozen=True)
class Piece:
    """Which bytes of the file a request brings."""

    begin: int
    end: int | None
    """None: to wherever the body ends, which is the end of the file."""
    size: int | None
    """Of the whole file."""


@dataclass(frozen=True)
class Received:
    """A file that is not whole yet."""

    name: str
    received: int
    size: int | None


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes:
        """At most `size` of the next bytes."""


def piece_of(content_range: str | None, content_length: str | None, *, limit: int) -> Piece:
    """What the headers of a request say.

    Raises:
        Problem: 400 if they make no sense, 413 if the file is too large.
    """
    length = int(content_length) if content_length and content_length.isdigit() else None
    if content_range is None:
        piece = Piece(0, length, length)
    else:
        match = RANGE.fullmatch(content_range)
        if match is None:
            raise _bad_range(content_range)
        begin, last, size = (int(number) for number in match.groups())
        if not begin <= last < size or (length is not None and length != last + 1 - begin):
            raise _bad_range(content_range)
        piece = Piece(begin, last + 1, size)
    if piece.size is not None and piece.size > limit:
        raise too_large(limit)
    return piece


def file_kind(name: str) -> str:
    """`text` or `archive`.

    Raises:
        Problem: 422 if the name is that of neither, or is no name.
    """
    if NAME.match(name):
        if name.endswith(ARCHIVE_SUFFIXES):
            return "archive"
        if name.endswith(TEXT_SUFFIXES):
            return "text"
    accepted = ", ".join((*TEXT_SUFFIXES, *ARCHIVE_SUFFIXES))
    detail = (
        "a file has a name of up to 64 letters, digits, '.', '_' and '-' and one of the suffixes "
        f"{accepted}"
    )
    raise Problem(422, "file_name_invalid", detail, fields=[("name", detail, name)])


def unfinished(folder: Path) -> list[Received]:
    """The parts of a dataset that can be gone on with."""
    if not folder.is_dir():
        return []
    parts = sorted(folder.glob(f"*{PART}"))
    return [Received(part.name.removesuffix(PART), part.stat().st_size, None) for part in parts]


def remove_abandoned(uploads: Path) -> None:
    """Removes what nobody has gone on with for a week."""
    if uploads.is_dir():
        for path in uploads.glob("*/*"):
            # A sender beside this one may have finished its file since it was listed.
            with suppress(FileNotFoundError):
                if time.time() - path.stat().st_mtime > KEEP_SECONDS:
                    shutil.rmtree(path) if path.is_dir() else path.unlink()


async def receive(
    part: Path, piece: Piece, body: AsyncIterator[bytes], *, limit: int
) -> Received | Path:
    """Appends a piece to a part; once the file is whole, where it lies, for the caller alone.

    Raises:
        Problem: 409 if the piece does not begin where the part ends or somebody else is sending,
            413 if the file grows too large, 408 if the sender falls silent, 507 on a full disk.
        ClientDisconnect: If the connection broke; what has arrived is kept.
    """
    part.parent.mkdir(parents=True, exist_ok=True)
    _require_space(part.parent, (piece.end or piece.begin) - piece.begin)
    file = os.open(part, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
    with os.fdopen(file, "r+b") as target:
        _lock(target, part)
        have = os.fstat(target.fileno()).st_size
        if piece.begin > have:
            headers = {"Upload-Offset": str(have)}
            detail = f"{have} bytes are here: go on from there, or begin again at 0"
            raise Problem(409, "upload_offset", detail, headers=headers)
        target.truncate(piece.begin)
        target.seek(piece.begin)
        end = await _append(target, piece, body, limit=limit)
        if piece.size is not None and end < piece.size:
            return Received(part.name.removesuffix(PART), end, piece.size)
        # A name of its own, while the lock is held: nobody can go on with it any more.
        whole = part.with_name(f"{uuid4().hex}.whole")
        part.rename(whole)
    return whole


async def _append(
    target: IO[bytes], piece: Piece, body: AsyncIterator[bytes], *, limit: int
) -> int:
    """Writes the body; returns the size of the part afterwards."""
    end, waiting = piece.begin, bytearray()
    most = limit if piece.end is None else piece.end

    async def flush() -> None:
        with _disk():
            await run_sync(target.write, bytes(waiting))
            target.flush()
        waiting.clear()

    try:
        while True:
            with anyio.fail_after(STALL_SECONDS):
                block = await anext(body, None)
            if block is None:
                break
            end += len(block)
            if end > most:
                raise too_large(limit) if piece.end is None else _bad_range("a longer body")
            waiting += block
            if len(waiting) >= BUFFER_BYTES:
                await flush()
    except TimeoutError as error:
        await flush()
        detail = f"nothing has arrived for {STALL_SECONDS:.0f} s; go on where it stopped"
        raise Problem(408, "upload_stalled", detail) from error
    except ClientDisconnect:
        await flush()
        raise
    await flush()
    return end


def publish(
    whole: Path,
    name: str,
    dataset: Path,
    *,
    sha256: str | None,
    folder: str | None,
    replace: bool,
) -> list[str]:
    """Puts a whole upload into its dataset: the file, or the text files of the archive.

    Everything is checked first, and each file appears whole, by a rename. The upload is gone
    afterwards, also if it was refused. Returns the names of the files.

    Raises:
        Problem: 422 if the content is not what it should be, 409 if a file is there already.
    """
    staging = whole.parent / f"{uuid4().hex}.tmp"
    staging.mkdir()
    try:
        _check_hash(whole, sha256)
        with _disk():
            if is_archive(name):
                _unpack(whole, name, staging, folder)
            else:
                with whole.open("rb") as source:
                    check_text(source, name, lambda _: None)
                whole.replace(staging / name)
            names = sorted(path.name for path in staging.iterdir())
            with _alone(staging.parent):
                _refuse_taken(dataset, names, replace=replace)
                _move(staging, dataset, names)
        return names
    finally:
        shutil.rmtree(staging, ignore_errors=True)
        whole.unlink(missing_ok=True)


def check_text(source: _Readable, name: str, write: Callable[[bytes], object]) -> None:
    """Reads a text to its end, and hands on what it reads.

    Raises:
        Problem: 422 if it is not UTF-8, holds NUL bytes, or is empty.
    """
    decoder = codecs.getincrementaldecoder("utf-8")()
    position, is_empty = 0, True
    while True:
        block = source.read(BUFFER_BYTES)
        try:
            text = decoder.decode(block, final=not block)
        except UnicodeDecodeError as error:
            raise _bad_text(name, f"is not UTF-8 near byte {position + error.start}") from error
        if b"\0" in block:
            raise _bad_text(name, f"holds a NUL at byte {position + block.index(0)}: it is no text")
        if not block:
            break
        is_empty = is_empty and not text.strip()
        position += len(block)
        write(block)
    if is_empty:
        raise Problem(422, "corpus_empty", f"{name} holds no text")


def too_large(limit: int) -> Problem:
    """The refusal of a file beyond the limit."""
    detail = f"a file may have {limit:,} bytes at most (BABYLM_UPLOAD_BYTES)"
    return Problem(413, "body_too_large", detail)


def _unpack(whole: Path, name: str, staging: Path, folder: str | None) -> None:
    stems: dict[str, PurePosixPath] = {}

    def wanted(inner: PurePosixPath) -> bool:
        is_text = inner.name.endswith(TEXT_SUFFIXES) and not inner.name.startswith(".")
        return is_text and folder in (None, inner.parent.name)

    for inner, reader in members(whole, name, wanted):
        if file_kind(inner.name) != "text":
            continue
        stem = _stem(inner.name)
        if stem in stems:
            raise Problem(
                422,
                "archive_ambiguous",
                f"{name} holds {stems[stem]} and {inner}: name the folder to take with ?folder=",
            )
        stems[stem] = inner
        with (staging / inner.name).open("xb") as target:
            check_text(reader, str(inner), target.write)
    if not stems:
        where = f" in a folder {folder!r}" if folder else ""
        accepted = ", ".join(TEXT_SUFFIXES)
        raise Problem(422, "archive_empty", f"{name} has no text file{where}; accepted: {accepted}")


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Lets one upload of a dataset be published at a time, also of several processes."""
    file = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
    finally:
        os.close(file)


def _refuse_taken(dataset: Path, names: list[str], *, replace: bool) -> None:
    there = {_stem(path.name): path.name for path in dataset.iterdir()} if dataset.is_dir() else {}
    for name in names:
        taken = there.get(_stem(name))
        if taken is not None and (taken != name or not replace):
            hint = "; send it with ?replace=true" if taken == name else ""
            raise Problem(409, "file_exists", f"{dataset.name} has {taken} already{hint}")


def _move(staging: Path, dataset: Path, names: list[str]) -> None:
    if not dataset.exists():

        def build(folder: Path) -> None:
            for name in names:
                (staging / name).replace(folder / name)

        publish_folder(dataset, build)
        return
    for name in names:
        with (staging / name).open("rb") as file:
            os.fsync(file.fileno())
        (staging / name).replace(dataset / name)
    sync_folder(dataset)


def _stem(name: str) -> str:
    for suffix in TEXT_SUFFIXES:
        if name.endswith(suffix):
            return name.removesuffix(suffix)
    return name


def _check_hash(whole: Path, sha256: str | None) -> None:
    if sha256 is None:
        return
    with whole.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != sha256.lower():
        detail = f"what arrived has the SHA-256 {found}, not {sha256}; send it again"
        raise Problem(422, "checksum_wrong", detail)


def _lock(target: IO[bytes], part: Path) -> None:
    detail = f"{part.name.removesuffix(PART)} is being sent by somebody else at the moment"
    try:
        fcntl.flock(target, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise Problem(409, "upload_busy", detail) from error
    if not part.exists() or not os.path.samestat(part.stat(), os.fstat(target.fileno())):
        raise Problem(409, "upload_busy", detail)


def _require_space(folder: Path, count: int) -> None:
    free = shutil.disk_usage(folder).free
    if count > free:
        detail = f"the disk has {free:,} bytes left, and {count:,} are to come"
        raise Problem(507, "disk_full", detail)


@contextmanager
def _disk() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise Problem(507, "disk_full", "the disk of the service is full") from error
        raise


def _bad_range(given: str) -> Problem:
    detail = "Content-Range must be `bytes BEGIN-LAST/SIZE` and fit the body"
    return Problem(400, "content_range_invalid", detail, fields=[("Content-Range", detail, given)])


def _bad_text(name: str, reason: str) -> Problem:
    return Problem(422, "corpus_encoding", f"{name} {reason}")
