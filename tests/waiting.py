"""Waiting for other processes and threads.

A deadline ends a test that hangs. It is no limit on speed: the suite must also pass while other
programs keep all cores busy, so every wait has the same generous deadline.
"""

import time
from collections.abc import Callable
from typing import Any

import psutil

DEADLINE = 300.0
"""Seconds after which a wait fails: less than the timeout of a test, so that the failure names the
condition."""
POLL_SECONDS = 0.02


def wait_for(
    condition: Callable[[], Any], *, what: str | Callable[[], str], seconds: float = DEADLINE
) -> Any:
    """The first truthy value of `condition`; fails with `what` at the deadline."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(POLL_SECONDS)
    raise AssertionError(
        f"timed out after {seconds:g} s: {what if isinstance(what, str) else what()}"
    )


def is_alive(process: psutil.Process) -> bool:
    """Whether a process runs. A zombie, for which its parent has not waited yet, does not run."""
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:  # the process ended between the two calls
        return False
