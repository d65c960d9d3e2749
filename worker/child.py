"""A child process in its own process group, which receives heartbeats through a pipe.

The child does not use PR_SET_PDEATHSIG: the kernel would send the signal as soon as the thread that
started the child ends, and a thread of a pool may end at any time.
"""

import contextlib
import os
import select
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from core.process.stop import FULL
from core.process.threads import thread_environment

SECRETS = ("BABYLM_API_KEY", "BABYLM_REDIS_URL", "BABYLM_DATABASE_URL", "BABYLM_MLFLOW_URI")
"""Secret settings. A child does not need them, and its log or crash dump must not contain them."""
OOM_SCORE = 500
"""Value of /proc/PID/oom_score_adj, so that the kernel kills the child before the worker."""


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
        self._pidfd = _open_pidfd(self.pid)
        assert self._process.stdin is not None
        # A frozen child does not read the pipe; a heartbeat must not block on the full pipe.
        os.set_blocking(self._process.stdin.fileno(), False)
        # Some containers do not permit this write; child and worker then have the same score.
        with contextlib.suppress(OSError):
            Path(f"/proc/{self.pid}/oom_score_adj").write_text(str(OOM_SCORE))

    def poll(self) -> int | None:
        """The exit status, negative for a signal; None while the child runs."""
        return self._process.poll()

    def wait(self, seconds: float) -> int | None:
        """Waits at most `seconds` for the end of the child; returns the same as `poll`.

        `Popen.wait` polls 20 times per second, which slows down training on a CPU.
        """
        if self._pidfd is not None:
            waiting = select.poll()
            waiting.register(self._pidfd, select.POLLIN)
            waiting.poll(1000.0 * seconds)
            return self._process.poll()
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self._process.wait(seconds)
        return None

    def beat(self, allowance: float = 1.0) -> None:
        """Sends a heartbeat; the child stops by itself if it receives none for too long.

        Args:
            allowance: The time for which the child may run without another heartbeat, as a
                fraction (0 to 1) of the silence limit of `core.process.stop`.
        """
        assert self._process.stdin is not None
        left = round(FULL * min(1.0, max(0.0, allowance)))
        with contextlib.suppress(OSError):
            os.write(self._process.stdin.fileno(), bytes([left]))

    def send(self, number: signal.Signals) -> None:
        """Sends a signal to the process group of the child; does nothing if the group has ended."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, number)

    def close(self) -> None:
        """Kills the process group and closes the pipe."""
        self.send(signal.SIGKILL)
        self._process.wait()
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        if self._pidfd is not None:
            os.close(self._pidfd)
            self._pidfd = None


def _open_pidfd(pid: int) -> int | None:
    """A pidfd, which is readable once the process has ended; None if the kernel has no pidfds."""
    with contextlib.suppress(OSError, AttributeError):
        return os.pidfd_open(pid)
    return None


def child_environment(extra: Mapping[str, str]) -> dict[str, str]:
    """The environment of a child.

    Consists of the environment of the worker without the secret settings, of the thread settings,
    and of `extra`, which takes precedence.
    """
    inherited = {name: value for name, value in os.environ.items() if name not in SECRETS}
    fixed = {"PYTHONUNBUFFERED": "1", "TOKENIZERS_PARALLELISM": "true"}
    return inherited | fixed | thread_environment(inherited) | dict(extra)
