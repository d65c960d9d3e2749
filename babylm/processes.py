"""Programs that `babylm serve` keeps running, each with its own log file.

A guard process (`babylm.guard`) starts each program, and ends it when `babylm serve` ends.
"""

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from babylm import guard
from core.process.program import isolated_command

FIRST_DELAY_SECONDS = 0.5
LAST_DELAY_SECONDS = 30.0
STEADY_SECONDS = 60.0
"""Seconds after which a running program counts as stable: its earlier exits no longer count."""
KILL_SECONDS = 1.0
"""Seconds after the grace period until the guard itself is killed."""
MAX_LOG_BYTES = 10_000_000
POLL_SECONDS = 0.02


@dataclass(frozen=True)
class Program:
    """A program to keep running."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    log: Path
    grace_seconds: float
    cwd: Path | None = None


@dataclass
class Supervised:
    """A program, its current guard, and when to restart it."""

    program: Program
    say: Callable[[str], None]
    clock: Callable[[], float] = time.monotonic
    guard: "subprocess.Popen[bytes] | None" = None
    deaths: int = 0
    _started_at: float = 0.0
    _start_at: float = field(default=0.0)

    def start(self) -> None:
        """Starts the program in its own process group."""
        order = {
            "command": list(self.program.command),
            "grace_seconds": self.program.grace_seconds,
        }
        self.program.log.parent.mkdir(parents=True, exist_ok=True)
        with self.program.log.open("ab") as log:
            self.guard = subprocess.Popen(
                isolated_command(guard.__file__),
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                env=dict(self.program.environment),
                cwd=self.program.cwd,
                start_new_session=True,
                bufsize=0,
            )
        assert self.guard.stdin is not None  # because of PIPE
        self.guard.stdin.write(json.dumps(order).encode() + b"\n")
        self._started_at = self.clock()

    def tick(self) -> None:
        """Restarts the program if it ended, with increasing delays."""
        if self.guard is None:
            if self.clock() >= self._start_at:
                self.start()
            return
        status = self.guard.poll()
        if status is None:
            return
        self._forget(self.guard)
        self.guard = None
        steady = self.clock() - self._started_at >= STEADY_SECONDS
        self.deaths = 1 if steady else self.deaths + 1
        delay = min(LAST_DELAY_SECONDS, FIRST_DELAY_SECONDS * 2 ** (self.deaths - 1))
        self._start_at = self.clock() + delay
        how = f"by signal {status - 128}" if status > 128 else f"with status {status}"
        self.say(f"{self.program.name} ended {how}; starting it again in {delay:.1f} s")

    def begin_stop(self) -> None:
        """Asks the guard to end the program; returns at once."""
        if self.guard is not None and self.guard.stdin is not None:
            self.guard.stdin.close()

    def end_stop(self) -> None:
        """Kills the guard if it still runs, and all remaining processes of its process group."""
        if self.guard is None:
            return
        if self.guard.poll() is None:
            self.say(f"{self.program.name} did not stop in time and was killed")
            _kill_below(self.guard.pid)
        self._forget(self.guard)
        self.guard = None

    @property
    def is_stopped(self) -> bool:
        """True once the guard has ended."""
        return self.guard is None or self.guard.poll() is not None

    def _forget(self, guard_process: "subprocess.Popen[bytes]") -> None:
        """Kills the remaining processes in the group of a guard that died or hangs."""
        # The group may be empty; macOS reports "not permitted" if only a zombie is left.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(guard_process.pid, signal.SIGKILL)
        guard_process.wait()
        if guard_process.stdin is not None:
            guard_process.stdin.close()


def _kill_below(pid: int) -> None:
    """Kills every descendant, including those in other sessions."""
    import psutil

    with contextlib.suppress(psutil.NoSuchProcess):
        for process in psutil.Process(pid).children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()


def stop_all(programs: Sequence[Supervised], *, in_a_hurry: Callable[[], bool]) -> None:
    """Ends all programs at the same time, within their grace periods or, if in a hurry, at once."""
    for supervised in programs:
        supervised.begin_stop()
    grace = max((supervised.program.grace_seconds for supervised in programs), default=0.0)
    deadline = time.monotonic() + grace + KILL_SECONDS
    while time.monotonic() < deadline and not in_a_hurry():
        if all(supervised.is_stopped for supervised in programs):
            break
        time.sleep(POLL_SECONDS)
    for supervised in programs:
        supervised.end_stop()


class LogTail:
    """Forwards important lines of a log file, and limits its size."""

    def __init__(self, path: Path, say: Callable[[str], None]) -> None:
        self._path = path
        self._say = say
        self._offset = path.stat().st_size if path.exists() else 0
        self._torn = b""

    def tick(self) -> None:
        """Reads the new lines."""
        try:
            with self._path.open("rb") as file:
                file.seek(self._offset)
                block = file.read(1 << 20)
        except FileNotFoundError:
            return
        self._offset += len(block)
        *lines, self._torn = (self._torn + block).split(b"\n")
        self._torn = self._torn[-8192:]
        for line in lines:
            text = line.decode("utf-8", "replace")
            if is_important(text):
                self._say(text)
        if self._offset > MAX_LOG_BYTES:
            self._rotate()

    def last_lines(self, count: int) -> list[str]:
        """The last `count` lines of the file."""
        try:
            return self._path.read_text("utf-8", "replace").splitlines()[-count:]
        except FileNotFoundError:
            return []

    def _rotate(self) -> None:
        # The writers append to the open file, so it is copied and emptied rather than renamed.
        older = self._path.with_name(self._path.name + ".1")
        older.write_bytes(self._path.read_bytes())
        os.truncate(self._path, 0)
        self._offset = 0


def is_important(line: str) -> bool:
    """True for warnings and errors, except Redis's advice about memory overcommit."""
    marks = ("WARNING", "ERROR", "CRITICAL", "Traceback (most recent call last)")
    return any(mark in line for mark in marks) and "overcommit" not in line
