"""The journal of a run: an append-only file with one JSON event per line.

A line is complete once its newline is written. A killed writer may leave an incomplete last line;
readers skip it, and the next writer truncates it.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from core.events.types import LINE, EventData, JournalEvent, StatusData, WarningData, event_of

READ_BYTES = 1 << 20
"""Number of bytes that are read at a time."""


class JournalWriter:
    """Appends events without buffering, so that they survive a kill of the process."""

    def __init__(self, path: Path) -> None:
        """Opens `path` and truncates an incomplete last line. The caller holds the run lock."""
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        os.ftruncate(self._file, _whole_length(self._file))

    def append(self, data: EventData) -> None:
        """Writes one event.

        Raises:
            OSError: If the disk is full; a partly written line is truncated.
        """
        line = LINE.dump_json(event_of(data)) + b"\n"
        before = os.fstat(self._file).st_size
        try:
            while line:
                line = line[os.write(self._file, line) :]
        except OSError:
            os.ftruncate(self._file, before)
            raise

    def sync(self) -> None:
        """Syncs the file to disk, so that all events survive a power failure."""
        os.fsync(self._file)

    def close(self) -> None:
        """Closes the file; may be called twice."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def read_journal(
    path: Path, *, offset: int = 0, limit_bytes: int = READ_BYTES
) -> list[tuple[JournalEvent, int]]:
    """The complete events from byte `offset` on, each with the offset of the next line.

    Reads about `limit_bytes`, and more only if a single line is longer. A missing file has no
    events. For a complete line that is not an event, the function returns a warning event and
    continues, so that readers reach the events after it. A power failure can leave such lines after
    the last sync; the run then repeats the work to which they belong.
    """
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return []
    with file:
        file.seek(offset)
        block = file.read(limit_bytes)
        while block and b"\n" not in block:
            more = file.read(limit_bytes)
            if not more:
                return []
            block += more
    events = []
    for line in block[: block.rfind(b"\n") + 1].splitlines(keepends=True):
        event = _event(line, offset)
        offset += len(line)
        events.append((event, offset))
    return events


def events_of_types(path: Path, *types: str) -> Iterator[EventData]:
    """The payloads of all complete events of these types, in order.

    Most lines of a journal are metrics, so only lines that contain a type's name are parsed.
    """
    marks = tuple(f'"type":"{name}"'.encode() for name in types)
    with path.open("rb") as file:
        for line in file:
            if line.endswith(b"\n") and any(mark in line for mark in marks):
                event = _event(line, 0)
                if event.type in types:
                    yield event.payload()


def whole_length(path: Path) -> int:
    """Number of bytes up to and including the last newline; 0 if the file does not exist."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return 0
    try:
        return _whole_length(file)
    finally:
        os.close(file)


def _event(line: bytes, offset: int) -> JournalEvent:
    try:
        event = LINE.validate_json(line)
        if isinstance(event.payload(), StatusData):
            raise ValueError("a journal must not contain status events")
    except ValueError:
        message = f"the line at byte {offset} of the journal is not an event and is skipped"
        return event_of(WarningData(code="journal_damaged", message=message))
    return event


def _whole_length(file: int) -> int:
    """Number of bytes up to and including the last newline."""
    end = os.fstat(file).st_size
    while end > 0:
        start = max(0, end - READ_BYTES)
        block = os.pread(file, end - start, start)
        newline = block.rfind(b"\n")
        if newline >= 0:
            return start + newline + 1
        end = start
    return 0
