"""When a run must stop: on SIGTERM or SIGINT, and when whoever watches it is gone or silent.

A supervised run holds the read end of a pipe on standard input. The supervisor writes a byte at
every heartbeat; end of file means that it died, silence that it is frozen or cut off and that
somebody else may already have been given the job. The byte says how much of the silence limit is
left (255: all of it): a supervisor that cannot reach the database writes smaller and smaller
numbers, so the run stops in time although its supervisor lives, and without any file lock.
"""

import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable
from types import FrameType

from core.errors import ExitCode

LEASE_SECONDS = 15.0
"""After so long without a sign of life the job is given to somebody else."""
SILENCE_SHARE = 0.55
"""Part of the lease after which a supervised run that hears nothing stops by itself."""
DEADLINE_SHARE = 0.3
"""Part of the lease to reach a safe point in, once the supervisor is gone; then the process ends
hard. With the part above it is gone before the job is somebody else's, even if the supervisor's
last sign of life was a heartbeat old."""


FULL = 255
"""The byte of a supervisor that has just told the database that it lives."""


class StopSignal:
    """Asked at safe points: is a stop wanted, and why?"""

    def __init__(self, *, leave: Callable[[], None] | None = None) -> None:
        """`leave` ends the process at once; taken until `hold` says that work could be lost."""
        self.reason: str | None = None
        self._event = threading.Event()
        self._leave = leave

    def __call__(self) -> bool:
        """True once a stop was asked for."""
        return self._event.is_set()

    def request(self, reason: str) -> None:
        """Asks for a stop; the first reason stays."""
        if not self._event.is_set():
            self.reason = reason
            self._event.set()
        if self._leave is not None:
            self._leave()

    def hold(self) -> None:
        """From now on a stop waits for a safe point: what was done since the last would be lost."""
        self._leave = None

    def on_signals(self) -> None:
        """Makes SIGTERM and SIGINT ask for a stop. Only in the main thread."""

        def handler(number: int, frame: FrameType | None) -> None:
            del frame
            self.request(signal.Signals(number).name)

        signal.signal(signal.SIGTERM, handler)
        signal.signal(signal.SIGINT, handler)

    def watch_supervisor(
        self,
        *,
        file: int | None = None,
        silence_seconds: float = LEASE_SECONDS * SILENCE_SHARE,
        deadline_seconds: float = LEASE_SECONDS * DEADLINE_SHARE,
        abandon: Callable[[], None] = lambda: os._exit(ExitCode.ABANDONED),
    ) -> None:
        """Starts a thread that watches the pipe on standard input."""
        source = sys.stdin.fileno() if file is None else file

        def watch() -> None:
            self.request(_wait_for_end(source, silence_seconds))
            # Native code may hold the main thread for long; the folder's lock must be let go.
            time.sleep(deadline_seconds)
            abandon()

        threading.Thread(target=watch, name="supervisor-watch", daemon=True).start()


def _wait_for_end(file: int, silence_seconds: float) -> str:
    allowance = silence_seconds
    while True:
        ready, _, _ = select.select([file], [], [], allowance)
        if not ready:
            return "supervisor silent"
        beats = os.read(file, 4096)
        if not beats:
            return "supervisor gone"
        allowance = silence_seconds * beats[-1] / FULL
