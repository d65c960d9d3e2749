"""Replays a journal into a tracker and records the progress (the "cursor") in a file."""

import fcntl
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from pydantic import BaseModel, ConfigDict, ValidationError

from core.errors import RunLocked
from core.events.journal import read_journal, whole_length
from core.export.tracking.entries import Entry, Status, entries_of, status_after
from core.storage.rundir import NO_LOCKS, RunDir, publish_file

log = logging.getLogger(__name__)

State = dict[str, str | int]


class Tracker(Protocol):
    """An open connection to a tracker. Any method may raise the library's errors."""

    def write(self, entries: Sequence[Entry]) -> None:
        """Sends entries, in order."""

    def flush(self) -> State:
        """Waits until the entries are stored; returns the state with which `open` continues."""

    def close(self, status: Status) -> None:
        """Records the status of the run and closes the connection."""


@dataclass(frozen=True)
class Adapter:
    """The rules for opening a tracker."""

    package: str
    """Name of the required package, and of the extra of this project that installs it."""
    open: Callable[[RunDir, State], Tracker]
    """Opens the tracker for a run. The state is the result of the last `flush`, or empty."""
    is_live: bool = True
    """Whether the tracker can continue a run. If not, each replay sends the whole journal."""


class Cursor(BaseModel):
    """The part of a journal that a tracker already has."""

    model_config = ConfigDict(extra="forbid")

    format_version: int = 1
    offset: int = 0
    """Number of bytes of the journal that have been replayed."""
    last_steps: dict[str, int] = {}
    state: State = {}
    status: Status = "running"


def replay(rundir: RunDir, name: str, adapter: Adapter) -> int:
    """Sends the events after the cursor; returns the number of events.

    The cursor is saved after the tracker has stored the events. If the process is killed before
    that, the next replay sends the entries again. They are the same as before, because they depend
    only on the journal, so the tracker recognises or replaces them.

    Raises:
        RunLocked: If another process replays the journal into the same tracker.
        Exception: Any error of the tracker's library.
    """
    file = cursor_file(rundir, name)
    file.parent.mkdir(parents=True, exist_ok=True)
    with _locked(file.with_suffix(".lock"), name):
        cursor = read_cursor(file)
        # After a power failure the journal may be shorter than what was replayed.
        length = whole_length(rundir.journal)
        cursor.offset = min(cursor.offset, length)
        if cursor.offset == length:
            return 0
        if not adapter.is_live:
            cursor = Cursor()
        return _send(rundir, file, cursor, adapter)


def is_complete(rundir: RunDir, name: str) -> bool:
    """Whether the tracker has all complete events of the journal."""
    return read_cursor(cursor_file(rundir, name)).offset >= whole_length(rundir.journal)


def cursor_file(rundir: RunDir, name: str) -> Path:
    """The file of a tracker's cursor."""
    return rundir.trackers / f"{name}.json"


def read_cursor(file: Path) -> Cursor:
    """The cursor in a file; a new cursor if the file is missing or invalid."""
    try:
        return Cursor.model_validate_json(file.read_bytes())
    except FileNotFoundError:
        return Cursor()
    except ValidationError:
        log.warning("%s is not a cursor: the whole journal is replayed", file.name)
        return Cursor()


def _send(rundir: RunDir, file: Path, cursor: Cursor, adapter: Adapter) -> int:
    tracker = adapter.open(rundir, cursor.state)
    count = 0
    try:
        while events := read_journal(rundir.journal, offset=cursor.offset):
            entries: list[Entry] = []
            for event, offset in events:
                entries += entries_of(event, cursor.last_steps)
                cursor.status = status_after(event, cursor.status)
                cursor.offset = offset
            count += len(events)
            tracker.write(entries)
            cursor.state = tracker.flush()
            if adapter.is_live:
                publish_file(file, cursor.model_dump_json().encode())
    finally:
        tracker.close(cursor.status)
    if not adapter.is_live:
        publish_file(file, cursor.model_dump_json().encode())
    return count


@contextmanager
def _locked(path: Path, name: str) -> Iterator[None]:
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(file)
        message = f"another process replays the journal into {name}; wait until it ends"
        raise RunLocked(message) from error
    except OSError as error:
        if error.errno not in NO_LOCKS:
            os.close(file)
            raise
    try:
        yield
    finally:
        os.close(file)
