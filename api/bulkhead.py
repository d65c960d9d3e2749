"""Bulkheads: each kind of blocking work has its own threads and its own bounded queue."""

from collections.abc import Callable
from typing import TypeVar

from anyio import CapacityLimiter, WouldBlock, fail_after
from anyio.to_thread import run_sync

from api.delay import BURST_SECONDS, QueueDelay
from api.errors import Problem

RETRY_SECONDS = 1

Result = TypeVar("Result")


class Bulkhead:
    """Limits the number of threads, and the number of callers that wait for a thread.

    A call may take a database connection, and releases it before it returns. A call never waits for
    another thread. So running calls always finish, and no deadlock is possible, whatever the sizes
    of the bulkheads and of the connection pool are.
    """

    def __init__(
        self,
        *,
        max_threads: int,
        max_waiting: int | None = None,
        max_wait_seconds: float = BURST_SECONDS,
    ) -> None:
        """Sets the limits. With None for `max_waiting`, callers wait without any limit."""
        self._max_threads = max_threads
        self._max_waiting = max_waiting
        self._max_wait_seconds = None if max_waiting is None else max_wait_seconds
        self._limiter = CapacityLimiter(max_threads)
        self._delay = QueueDelay()
        self._admitted = 0

    async def run(self, call: Callable[[], Result]) -> Result:
        """Runs the call in a thread.

        Raises:
            Problem: 503, at once if too many callers wait, or later if the call did not begin in
                time.
        """
        if self._max_waiting is not None:
            limit = self._max_threads + self._max_waiting
            if self._admitted >= limit:
                raise overloaded(limit)
        self._admitted += 1
        caller = object()
        try:
            await self._acquire(caller)
            try:
                return await run_sync(call, limiter=CapacityLimiter(1))
            finally:
                self._limiter.release_on_behalf_of(caller)
        finally:
            self._admitted -= 1

    async def _acquire(self, caller: object) -> None:
        try:
            self._limiter.acquire_on_behalf_of_nowait(caller)
            self._delay.enter(is_empty=True)
        except WouldBlock:
            entered_at = self._delay.enter(is_empty=False)
            try:
                with fail_after(self._max_wait_seconds):
                    await self._limiter.acquire_on_behalf_of(caller)
            except TimeoutError as error:
                raise overloaded(self._admitted) from error
            if self._max_waiting is not None and self._delay.is_too_long(entered_at):
                self._limiter.release_on_behalf_of(caller)
                raise overloaded(self._admitted) from None


def overloaded(limit: int) -> Problem:
    """The refusal of a request beyond the limit."""
    detail = f"{limit} requests of this kind are in progress already; try again later"
    return Problem(503, "overloaded", detail, headers={"Retry-After": str(RETRY_SECONDS)})
