"""Parent of one program of `babylm serve`: ends the program when serve ends.

The guard's standard input is a pipe from serve. The first line contains the command to start. When
the pipe closes, for any reason, the guard sends SIGTERM to the program, and after the grace period
SIGKILL to the program and its descendants. If the program ends first, the guard exits with the same
status. The guard runs as a file and not as a module, so that it imports no package of the project.
"""

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import psutil

POLL_SECONDS = 0.05


def main() -> int:
    """Starts the program that standard input names; returns its exit status, or 0 after a stop."""
    with open(sys.stdin.fileno(), "rb", buffering=0, closefd=False) as orders:
        order = json.loads(orders.readline())
    wake, woken = os.pipe()
    os.set_blocking(woken, False)
    stop = [wake, sys.stdin.fileno()]
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: _note(woken))
    ended, child_ended = os.pipe()
    os.set_blocking(child_ended, False)
    signal.signal(signal.SIGCHLD, lambda *_: _note(child_ended))
    child = subprocess.Popen(order["command"], stdin=subprocess.DEVNULL)
    while child.poll() is None:
        ready, _, _ = select.select([*stop, ended], [], [])
        if ready and ready != [ended]:
            return _stop(child, float(order["grace_seconds"]))
        os.read(ended, 4096)
    return child.returncode if child.returncode >= 0 else 128 - child.returncode


def _note(pipe: int) -> None:
    with contextlib.suppress(BlockingIOError):
        os.write(pipe, b".")


def _stop(child: "subprocess.Popen[bytes]", grace_seconds: float) -> int:
    """Ends the child and all its descendants, including those in other sessions."""
    import psutil

    deadline = time.monotonic() + grace_seconds
    below = psutil.Process().children(recursive=True)
    if child.poll() is None:
        child.terminate()
    while child.poll() is None and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
        if child.poll() is None:
            below = list({*below, *psutil.Process().children(recursive=True)})
    if child.poll() is None:
        child.kill()
    # Descendants notice by their own pipes that the child has ended, and then end themselves.
    below = [process for process in below if process.pid != child.pid]
    for process in wait_gone(below, seconds=deadline - time.monotonic()):
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    child.wait()
    return 0


def wait_gone(processes: "list[psutil.Process]", *, seconds: float) -> "list[psutil.Process]":
    """Waits up to `seconds` for the processes to end; returns those that still run.

    A zombie counts as gone: in a container its parent may never reap it.
    """
    import psutil

    def runs(process: "psutil.Process") -> bool:
        try:
            return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
        except psutil.NoSuchProcess:
            return False

    deadline = time.monotonic() + seconds
    alive = [process for process in processes if runs(process)]
    while alive and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
        alive = [process for process in alive if runs(process)]
    return alive


if __name__ == "__main__":
    sys.exit(main())
