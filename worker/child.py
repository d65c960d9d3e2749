"""A child process with its own process group, watched through a pipe.

Not PR_SET_PDEATHSIG: it is bound to the thread that forked, and a pool thread may end any time.
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

SECRETS = ("BABYLM_API_KEY", "BABYLM_REDIS_URL", "BABYLM_DATABASE_URL")
"""Settings that a child has no use for, and that its log or a crash dump must not show."""
KILLED_FIRST = 500
"""oom_score_adj(5): where the host runs out of memory the child goes before its worker."""


class Child:
    """A running child. It is in a session of its own, so a signal reaches all that it started."""

    def __init__(
        self, command: Sequence[str], *, log: Path, environment: Mapping[str, str] | None = None
    ) -> None:
        """Starts `command`; what it prints is appended to `log`."""
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
        # A frozen child reads nothing: once the pipe is full, a heartbeat must not freeze us too.
        os.set_blocking(self._process.stdin.fileno(), False)
        # The right to do so is missing in some containers; then all are equal.
        with contextlib.suppress(OSError):
            Path(f"/proc/{self.pid}/oom_score_adj").write_text(str(KILLED_FIRST))

    def poll(self) -> int | None:
        """The exit status, negative for a signal; None while it runs."""
        return self._process.poll()

    def wait(self, seconds: float) -> int | None:
        """As `poll`, but waits for the end as long as `seconds`.

        Popen's own wait looks 20 times a second, which on a CPU that trains is felt.
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
        """Shows the child that it is still watched; after a silence it stops by itself.

        Args:
            allowance: How much of the silence limit is left, 0 to 1, see `core.process.stop`.
        """
        assert self._process.stdin is not None
        left = round(FULL * min(1.0, max(0.0, allowance)))
        with contextlib.suppress(OSError):
            os.write(self._process.stdin.fileno(), bytes([left]))

    def send(self, number: signal.Signals) -> None:
        """Signals the child and all that it started; nothing if they are gone."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, number)

    def close(self) -> None:
        """Makes sure that nothing of the process group is left, and lets go of the pipe."""
        self.send(signal.SIGKILL)
        self._process.wait()
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        if self._end is not None:
            os.close(self._end)
            self._end = None


def _end_of(pid: int) -> int | None:
    """A file that can be read once the process has ended; None where the kernel has no such."""
    with contextlib.suppress(OSError, AttributeError):
        return os.pidfd_open(pid)
    return None


def child_environment(extra: Mapping[str, str]) -> dict[str, str]:
    """The environment of a child: ours without the secrets, what threads need, and `extra`."""
    kept = {name: value for name, value in os.environ.items() if name not in SECRETS}
    set_here = {"PYTHONUNBUFFERED": "1", "TOKENIZERS_PARALLELISM": "true"}
    return kept | set_here | thread_environment(kept) | dict(extra)
