"""Bulkheads: each kind of blocking work has its own threads and its own bounded queue."""

import asyncio
import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Any, Generic, TypeVar

from api.delay import BURST_SECONDS, QueueDelay
from api.errors import Problem

RETRY_SECONDS = 1
IDLE_SECONDS = 0.5
"""Seconds without a call after which a thread ends. The threads are not daemon threads, so they can
delay the exit of the program by this time."""

Result = TypeVar("Result")


class Bulkhead:
    """Limits the number of threads, and the number of callers that wait for a thread.

    A call may take a database connection, and releases it before it returns. A call never waits for
    another thread. So running calls always finish, and no deadlock is possible, whatever the sizes
    of the bulkheads and of the connection pool are.

    A thread takes its next call from the queue itself. With anyio's threads and limiter, each call
    needed more iterations of the event loop, and locks implemented in Python.
    """

    def __init__(
        self,
        *,
        max_threads: int,
        max_waiting: int | None = None,
        max_wait_seconds: float = BURST_SECONDS,
        idle_seconds: float = IDLE_SECONDS,
    ) -> None:
        """Sets the limits. With None for `max_waiting`, callers wait without any limit."""
        self._idle_seconds = idle_seconds
        self._max_threads = max_threads
        self._max_waiting = max_waiting
        self._max_wait_seconds = None if max_waiting is None else max_wait_seconds
        self._delay = QueueDelay()
        self._admitted = 0
        self._queue: SimpleQueue[_Call[Any]] = SimpleQueue()
        self._num_threads = 0
        self._lock = threading.Lock()
        """Held while a call is added to the queue and while a thread decides to end. Otherwise, the
        last thread could end just after a call was added."""

    async def run(self, call: Callable[[], Result]) -> Result:
        """Runs the call in a thread; never begins it after the caller was cancelled.

        Raises:
            Problem: 503, at once if too many callers wait, or later if the call did not begin in
                time.
        """
        if self._max_waiting is not None:
            limit = self._max_threads + self._max_waiting
            if self._admitted >= limit:
                raise overloaded(limit)
        must_wait = self._admitted >= self._max_threads
        one = _Call(call, asyncio.get_running_loop(), self._delay.enter(is_empty=not must_wait))
        self._admitted += 1
        self._put(one)
        timer = None
        if must_wait and self._max_wait_seconds is not None:
            timer = one.loop.call_later(self._max_wait_seconds, self._refuse, one)
        try:
            return await one.future
        except asyncio.CancelledError:
            self._withdraw(one)
            raise
        finally:
            if timer is not None:
                timer.cancel()
            # Breaks the cycle of error, traceback, frame and `one`, which only the garbage
            # collector would free.
            del one, call

    def _put(self, one: "_Call[Any]") -> None:
        with self._lock:
            self._queue.put(one)
            if self._num_threads < min(self._admitted, self._max_threads):
                self._num_threads += 1
                threading.Thread(target=self._work, name="bulkhead").start()

    def _refuse(self, one: "_Call[Any]") -> None:
        """Answers a caller that has waited too long, unless its call has begun."""
        number = self._admitted
        if self._withdraw(one) and not one.future.done():
            one.future.set_exception(overloaded(number))

    def _withdraw(self, one: "_Call[Any]") -> bool:
        """Marks a waiting call, so that no thread runs it; False if a thread already runs it."""
        is_waiting = one.take()
        self._admitted -= is_waiting
        return is_waiting

    def _work(self) -> None:
        """Runs calls in a thread until there has been none for `idle_seconds`."""
        while True:
            try:
                self._run_next()
            except Empty:
                with self._lock:
                    if self._queue.empty():
                        self._num_threads -= 1
                        return

    def _run_next(self) -> None:
        one = self._queue.get(timeout=self._idle_seconds)
        if not one.take():
            return
        if self._max_waiting is not None and self._delay.is_too_long(one.entered_at):
            one.error = overloaded(self._admitted)
        else:
            one.run()
        try:
            one.loop.call_soon_threadsafe(self._finish, one)
        except RuntimeError:  # the event loop has ended
            self._admitted -= 1
        del one  # avoids a reference cycle, see `run`

    def _finish(self, one: "_Call[Any]") -> None:
        self._admitted -= 1
        one.finish()


class _Call(Generic[Result]):
    """A call, the future of its caller, and its result."""

    def __init__(
        self, call: Callable[[], Result], loop: asyncio.AbstractEventLoop, entered_at: float
    ) -> None:
        self.loop = loop
        self.entered_at = entered_at
        self.future: asyncio.Future[Result] = loop.create_future()
        self.error: BaseException | None = None
        self._call = call
        self._result: Result | None = None
        self._taken = threading.Lock()

    def take(self) -> bool:
        """Claims the call, to run it or to withdraw it; True only the first time."""
        return self._taken.acquire(blocking=False)

    def run(self) -> None:
        """Runs the call, and keeps its result or error."""
        try:
            self._result = self._call()
        except StopIteration as error:  # a future does not accept it
            self.error = RuntimeError("the call raised StopIteration")
            self.error.__cause__ = error
        except BaseException as error:  # is raised for the caller
            self.error = error
        finally:
            del self  # avoids a reference cycle, see `Bulkhead.run`

    def finish(self) -> None:
        """Passes the result or error to the caller, on the event loop."""
        if self.future.done():  # the caller was cancelled
            return
        if self.error is not None:
            self.future.set_exception(self.error)
        else:
            self.future.set_result(self._result)  # type: ignore[arg-type]  # None only if it is one


def overloaded(limit: int) -> Problem:
    """The refusal of a request beyond the limit."""
    detail = f"{limit} requests of this kind are in progress already; try again later"
    return Problem(503, "overloaded", detail, headers={"Retry-After": str(RETRY_SECONDS)})
