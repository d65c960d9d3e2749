"""Reads the log of a run by byte offsets, so that no part is sent twice."""

import re
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path

import anyio

from api.bulkhead import Bulkhead

TAIL_BLOCK_BYTES = 64 << 10
MAX_TAIL_BYTES = 8 << 20
FOLLOW_BYTES = 64 << 10
FOLLOW_SECONDS = 0.5
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
"""Control characters except tab and line feed. They can move the cursor or change the colours of a
terminal."""


def tail_log(path: Path, *, lines: int) -> tuple[str, int]:
    """The last lines of a log and the offset of its end; a missing log is empty."""
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return "", 0
    with file:
        end = start = file.seek(0, 2)
        data = b""
        while start > 0 and data.count(b"\n") <= lines and end - start < MAX_TAIL_BYTES:
            begin = max(0, start - TAIL_BLOCK_BYTES)
            file.seek(begin)
            data = file.read(start - begin) + data
            start = begin
    kept = data.splitlines(keepends=True)[-lines:] if lines else []
    return as_text(b"".join(kept)), end


async def follow_log(
    path: Path, *, text: str, offset: int, has_ended: Callable[[], bool], bulkhead: Bulkhead
) -> AsyncIterator[str]:
    """Yields `text`, then the text that is appended after `offset`, until the job has ended."""
    yield text
    while True:
        ended, data = await bulkhead.run(partial(_look, path, offset, has_ended))
        offset += len(data)
        if data:
            yield as_text(data)
        elif ended:
            return
        else:
            await anyio.sleep(FOLLOW_SECONDS)


def as_text(data: bytes) -> str:
    """Bytes of a log as text that is safe to print."""
    text = data.decode("utf-8", errors="replace")
    return CONTROL.sub(lambda match: f"\\x{ord(match[0]):02x}", text)


def _look(path: Path, offset: int, has_ended: Callable[[], bool]) -> tuple[bool, bytes]:
    ended = has_ended()  # checked before reading, so that the read includes the last lines
    return ended, _read(path, offset)


def _read(path: Path, offset: int) -> bytes:
    try:
        with path.open("rb") as file:
            file.seek(offset)
            data = file.read(FOLLOW_BYTES)
    except FileNotFoundError:
        return b""
    # Returns whole lines, so that no multi-byte character is cut. Only a line of FOLLOW_BYTES or
    # more is returned in parts.
    whole = data.rfind(b"\n") + 1
    return data[:whole] if whole else (data if len(data) == FOLLOW_BYTES else b"")
