"""Bulkheads: each kind of blocking work has its own threads and its own, bounded queue."""

from collections.abc import Callable
from typing import TypeVar

from anyio import CapacityLimiter
from anyio.to_thread import run_sync

from api.errors import Problem

RETRY_SECONDS = 1

Result = TypeVar("Result")


class Bulkhead:
    """A limit on threads, and on callers that wait for one.

    A call may take a database connection, and releases it before it returns. Nothing that a call
    does waits for another thread, so the calls that run always finish, whatever the sizes of the
    bulkheads and of the connection pool: a deadlock is impossible.
    """

    def __init__(self, *, max_threads: int, max_waiting: int | None = None) -> None:
        """`max_waiting` is None if something else limits the number of callers."""
        self._max_threads = max_threads
        self._max_waiting = max_waiting
        self._limiter = CapacityLimiter(max_threads)
        self._admitted = 0

    async def run(self, call: Callable[[], Result]) -> Result:
        """Runs the call in a thread.

        Raises:
            Problem: 503 without any delay, if too many callers wait already.
        """
        if self._max_waiting is not None:
            limit = self._max_threads + self._max_waiting
            if self._admitted >= limit:
                raise _overloaded(limit)
        self._admitted += 1
        try:
            return await run_sync(call, limiter=self._limiter)
        finally:
            self._admitted -= 1


def _overloaded(limit: int) -> Problem:
    detail = f"{limit} requests of this kind are in progress already; try again later"
    return Problem(503, "overloaded", detail, headers={"Retry-After": str(RETRY_SECONDS)})
