"""Stands between `babylm serve` and one program that it started: the program never outlives serve.

Serve holds the write end of a pipe on this process's standard input. Its first line says what to
start; its end, for whatever reason, means that the program has to stop: SIGTERM, then, after the
grace period, SIGKILL to it and everything below it. If the program ends first, so does the guard,
with the same status. Run as a file, so that starting it costs nothing but the interpreter.
"""

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time

POLL_SECONDS = 0.05


def main() -> int:
    """Starts what standard input asks for and returns its exit status."""
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
    """Ends the child and all its descendants, also those that made a session of their own."""
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
    # Descendants of a child that ended in time have noticed it by their own pipes; wait for them.
    _, alive = psutil.wait_procs(
        [process for process in below if process.pid != child.pid],
        timeout=max(0.0, deadline - time.monotonic()),
    )
    for process in alive:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
    child.wait()
    return 0


if __name__ == "__main__":
    sys.exit(main())
