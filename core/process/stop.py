"""Stop requests: SIGTERM, SIGINT, and a supervisor that exits or sends no heartbeats.

A supervised run reads a pipe on standard input, to which the supervisor writes a byte at every
heartbeat. End of file means that the supervisor exited. If no byte arrives for as long as the
silence limit (`SILENCE_SHARE` of the lease), the supervisor hangs or is cut off, and another worker
may soon claim the job. The value of the byte says how much of the silence limit remains; 255 means
the whole limit. A supervisor that cannot reach the database writes decreasing values, so the run
stops in time even if its supervisor is alive. These rules also protect runs on file systems without
locks.
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
"""Seconds without a heartbeat after which another worker may take the job."""
SILENCE_SHARE = 0.55
"""Fraction of the lease after which a supervised run without heartbeats stops itself."""
DEADLINE_SHARE = 0.3
"""Fraction of the lease within which a run must reach a safe point after the supervisor is lost.
After this time the process exits in any case. The sum of this fraction and `SILENCE_SHARE` is less
than 1, so the process exits before another worker gets the job, even if the supervisor died just
before its next heartbeat."""


FULL = 255
"""Value of the heartbeat byte if the supervisor has just renewed its lease in the database."""


class StopSignal:
    """A stop request and its reason, checked at safe points."""

    def __init__(self, *, leave: Callable[[], None] | None = None) -> None:
        """Until `hold` is called, a stop request calls `leave`, which ends the process at once."""
        self.reason: str | None = None
        self._leave = leave

    def __call__(self) -> bool:
        """True after a stop request."""
        return self.reason is not None

    def request(self, reason: str) -> None:
        """Requests a stop; keeps the reason of the first request.

        A signal handler calls this at any moment of the main thread, so it must not take a lock.
        """
        if self.reason is None:
            self.reason = reason
        if self._leave is not None:
            self._leave()

    def hold(self) -> None:
        """Makes later stop requests wait for a safe point, so that no work is lost."""
        self._leave = None

    def on_signals(self) -> None:
        """Makes SIGTERM and SIGINT request a stop. Call it from the main thread."""

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
        """Starts a thread that watches the pipe on standard input.

        If the supervisor exits or is silent, the thread requests a stop. `deadline_seconds` later
        it calls `abandon`, if the process still runs.
        """
        source = sys.stdin.fileno() if file is None else file

        def watch() -> None:
            self.request(_wait_for_end(source, silence_seconds))
            # Native code may block the main thread for long. The run lock must be released in time,
            # so the process exits after the deadline even if it has not reached a safe point.
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
