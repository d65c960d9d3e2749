"""Resumable uploads: received bytes are kept until the file is complete.

The bytes are in `.uploads/<dataset>/<file>.part` in the data folder. A request locks this file.
"""

import fcntl
import os
import re
import shutil
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from uuid import uuid4

import anyio
from anyio.to_thread import run_sync
from starlette.requests import ClientDisconnect

from api.errors import Problem
from api.received_files import BUFFER_BYTES, full_disk_as_problem

PART = ".part"
STALL_SECONDS = 60.0
KEEP_SECONDS = 7 * 24 * 3600.0
"""Maximum age of an incomplete upload, in seconds since its last write; then it is removed."""
RANGE = re.compile(r"bytes (\d{1,15})-(\d{1,15})/(\d{1,15})")


@dataclass(frozen=True)
class Piece:
    """The range of bytes of the file that a request contains."""

    begin: int
    end: int | None
    """Position after the last byte; None if the request has no header that gives it."""
    size: int | None
    """Size of the whole file; None if the request has no header that gives it."""


@dataclass(frozen=True)
class Received:
    """An incomplete file."""

    name: str
    received: int
    size: int | None


def piece_of(content_range: str | None, content_length: str | None, *, limit: int) -> Piece:
    """The range that the headers of a request give.

    Raises:
        Problem: 400 if the headers are invalid, 413 if the file is too large.
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


def unfinished(folder: Path) -> list[Received]:
    """The incomplete files in a folder of uploads. Their uploads can continue."""
    if not folder.is_dir():
        return []
    parts = sorted(folder.glob(f"*{PART}"))
    return [Received(part.name.removesuffix(PART), part.stat().st_size, None) for part in parts]


def remove_abandoned(uploads: Path) -> None:
    """Removes incomplete uploads if their last write was more than `KEEP_SECONDS` ago."""
    if uploads.is_dir():
        for path in uploads.glob("*/*"):
            # Another request may have completed this upload since the folder was listed.
            with suppress(FileNotFoundError):
                if time.time() - path.stat().st_mtime > KEEP_SECONDS:
                    shutil.rmtree(path) if path.is_dir() else path.unlink()


async def receive(
    part: Path, piece: Piece, body: AsyncIterator[bytes], *, limit: int
) -> Received | Path:
    """Writes the body of a request into `part`, the file of the bytes received so far.

    Writing begins at the first byte of the piece; later bytes of the part are dropped. Returns the
    path of the file if it is complete now, otherwise what has been received.

    Raises:
        Problem: 409 if the piece begins after the end of the part, or if another request is
            sending; 413 if the file becomes too large; 507 on a full disk; 408 if no data arrive;
            400 if the connection breaks, or if the body is longer than the piece. After a 408 or
            400 the received bytes are kept.
    """
    part.parent.mkdir(parents=True, exist_ok=True)
    _require_space(part.parent, (piece.end or piece.begin) - piece.begin)
    file = os.open(part, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
    with os.fdopen(file, "r+b") as target:
        _lock(target, part)
        have = os.fstat(target.fileno()).st_size
        if piece.begin > have:
            headers = {"Upload-Offset": str(have)}
            detail = f"{have} bytes were received: continue at byte {have} or begin again at byte 0"
            raise Problem(409, "upload_offset", detail, headers=headers)
        target.truncate(piece.begin)
        target.seek(piece.begin)
        end = await _append(target, piece, body, limit=limit)
        if piece.size is not None and end < piece.size:
            return Received(part.name.removesuffix(PART), end, piece.size)
        # Renamed while the lock is held, so that no other request can append to it.
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
        with full_disk_as_problem():
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
        detail = f"no bytes arrived for {STALL_SECONDS:.0f} s; continue where the upload stopped"
        raise Problem(408, "upload_stalled", detail) from error
    except ClientDisconnect as error:
        await flush()
        detail = "the connection broke; the received bytes are kept"
        raise Problem(400, "upload_broken", detail) from error
    await flush()
    return end


def too_large(limit: int) -> Problem:
    """The refusal of a file beyond the limit."""
    detail = f"a file may have at most {limit:,} bytes (BABYLM_UPLOAD_BYTES)"
    return Problem(413, "body_too_large", detail)


def _lock(target: IO[bytes], part: Path) -> None:
    detail = f"another request is sending {part.name.removesuffix(PART)} at the moment"
    try:
        fcntl.flock(target, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise Problem(409, "upload_busy", detail) from error
    if not part.exists() or not os.path.samestat(part.stat(), os.fstat(target.fileno())):
        raise Problem(409, "upload_busy", detail)


def _require_space(folder: Path, count: int) -> None:
    free = shutil.disk_usage(folder).free
    if count > free:
        detail = f"the disk has {free:,} free bytes, but the request sends {count:,} bytes"
        raise Problem(507, "disk_full", detail)


def _bad_range(given: str) -> Problem:
    detail = "Content-Range must be `bytes BEGIN-LAST/SIZE` and fit the body"
    return Problem(400, "content_range_invalid", detail, fields=[("Content-Range", detail, given)])
