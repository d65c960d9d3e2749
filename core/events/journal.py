"""The journal of a run: one JSON line an event, appended and never changed.

A line counts once its newline is there. A writer that was killed may leave a torn last line: a
reader never passes it on, and the next writer cuts it off.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from core.events.types import LINE, EventData, JournalEvent, StatusData, WarningData, event_of

READ_BYTES = 1 << 20


class JournalWriter:
    """Appends events; each is handed to the kernel at once and outlives this process."""

    def __init__(self, path: Path) -> None:
        """Opens `path`, cuts off a torn last line. The caller holds the run folder's lock."""
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        os.ftruncate(self._file, _whole_length(self._file))

    def append(self, data: EventData) -> None:
        """Writes one event.

        Raises:
            OSError: If the disk is full; a part that was written is cut off again.
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
        """Waits until all events are on the disk, so that they survive a power failure too."""
        os.fsync(self._file)

    def close(self) -> None:
        """Closes the file; harmless when called twice."""
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
    """The whole events from byte `offset` on, each with the offset behind it.

    Reads about `limit_bytes` at once, and more only where a single line is longer. A file that is
    not there yet has no events. A whole line that is not an event is given as a warning: a power
    failure leaves such lines behind the last sync, where the run does its work again anyway, and a
    reader that stopped at one would stop there for ever.
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
    """What the whole events of these types carry, from first to last.

    A journal is nearly all measurements, so only lines that name a type are read as JSON.
    """
    marks = tuple(f'"type":"{name}"'.encode() for name in types)
    with path.open("rb") as file:
        for line in file:
            if line.endswith(b"\n") and any(mark in line for mark in marks):
                event = _event(line, 0)
                if event.type in types:
                    yield event.payload()


def whole_length(path: Path) -> int:
    """Bytes up to and including the last newline; 0 where there is no file."""
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
            raise ValueError("a run cannot tell the status of its job")
    except ValueError:
        message = f"the journal's line at byte {offset} is not an event and is skipped"
        return event_of(WarningData(code="journal_damaged", message=message))
    return event


def _whole_length(file: int) -> int:
    """Bytes up to and including the last newline."""
    end = os.fstat(file).st_size
    while end > 0:
        start = max(0, end - READ_BYTES)
        block = os.pread(file, end - start, start)
        newline = block.rfind(b"\n")
        if newline >= 0:
            return start + newline + 1
        end = start
    return 0
