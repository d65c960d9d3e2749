"""A child process in its own process group, which receives heartbeats through a pipe.

PR_SET_PDEATHSIG is not used: it fires when the forking thread ends, and a thread of a pool
may end at any time.
"""

import contextlib
import os
import select
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from core.process.stop import FULL

SECRETS = ("BABYLM_API_KEY", "BABYLM_REDIS_URL", "BABYLM_DATABASE_URL")
"""Settings that a child does not need and that must not appear in its log or a crash dump."""
OOM_SCORE = 500
"""oom_score_adj(5), so that the kernel kills the child before its worker."""


class Child:
    """A running child in its own session, so a signal reaches all its descendants."""

    def __init__(
        self, command: Sequence[str], *, log: Path, environment: Mapping[str, str] | None = None
    ) -> None:
        """Starts `command` and appends its output to `log`."""
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=child_environment(environment or {}),
                start_new_session=True,
            )
        self.pid = self._process.pid
        self._end = _end_of(self.pid)
        assert self._process.stdin is not None
        # A frozen child does not read: a heartbeat must not block on a full pipe.
        os.set_blocking(self._process.stdin.fileno(), False)
        # Some containers do not permit this; child and worker then have the same score.
        with contextlib.suppress(OSError):
            Path(f"/proc/{self.pid}/oom_score_adj").write_text(str(OOM_SCORE))

    def poll(self) -> int | None:
        """The exit status, negative for a signal; None while it runs."""
        return self._process.poll()

    def wait(self, seconds: float) -> int | None:
        """As `poll`, but waits for the end as long as `seconds`.

        `Popen.wait` polls 20 times per second, which slows down training on a CPU.
        """
        if self._end is not None:
            waiting = select.poll()
            waiting.register(self._end, select.POLLIN)
            waiting.poll(1000.0 * seconds)
            return self._process.poll()
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self._process.wait(seconds)
        return None

    def beat(self, allowance: float = 1.0) -> None:
        """Sends a heartbeat; the child stops by itself if it receives none for too long.

        Args:
            allowance: Remaining fraction of the silence limit, 0 to 1, see `core.process.stop`.
        """
        assert self._process.stdin is not None
        left = round(FULL * min(1.0, max(0.0, allowance)))
        with contextlib.suppress(OSError):
            os.write(self._process.stdin.fileno(), bytes([left]))

    def send(self, number: signal.Signals) -> None:
        """Signals the process group of the child; does nothing if it has ended."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, number)

    def close(self) -> None:
        """Kills the process group and closes the pipe."""
        self.send(signal.SIGKILL)
        self._process.wait()
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        if self._end is not None:
            os.close(self._end)
            self._end = None


def _end_of(pid: int) -> int | None:
    """A pidfd, readable once the process has ended; None if the kernel does not support it."""
    with contextlib.suppress(OSError, AttributeError):
        return os.pidfd_open(pid)
    return None


def child_environment(extra: Mapping[str, str]) -> dict[str, str]:
    """The environment of a child: the worker's without secrets, and `extra`."""
    kept = {name: value for name, value in os.environ.items() if name not in SECRETS}
    return kept | {"PYTHONUNBUFFERED": "1", "TOKENIZERS_PARALLELISM": "true"} | dict(extra)
