"""Following a job: first everything after a number, then what comes, woken by the doorbell.

Between two looks nothing is held, neither a connection to the database nor one to the broker, so
any number of slow readers costs the writers nothing.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

from api.bulkhead import Bulkhead
from api.errors import Problem

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jobs.tables import JobEvent

MAX_WATCHERS = 100
MAX_ANSWERS = 100
"""Each waits up to two minutes, and asks the database ten times a second."""
LOOK_SECONDS = 1.0
"""How long a lost call of the doorbell goes unnoticed."""
PAGE_EVENTS = 500


class Watchers:
    """Who waits for news of which job, on one event loop."""

    def __init__(self) -> None:
        self._waiting: dict[str, set[asyncio.Event]] = defaultdict(set)
        self._loop: asyncio.AbstractEventLoop | None = None
        self.count = 0
        self._answers = 0

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        """Names the loop that the watchers run on."""
        self._loop = loop

    def wake(self, job_id: str) -> None:
        """Wakes all who wait for that job; may be called from any thread."""
        loop = self._loop
        if loop is not None and not loop.is_closed():
            loop.call_soon_threadsafe(self._wake, job_id)

    def _wake(self, job_id: str) -> None:
        for event in self._waiting.get(job_id, ()):
            event.set()

    @contextmanager
    def watching(self, job_id: str) -> "Iterator[asyncio.Event]":
        """An event that is set whenever there may be news of the job."""
        event = asyncio.Event()
        self._waiting[job_id].add(event)
        self.count += 1
        try:
            yield event
        finally:
            self.count -= 1
            self._waiting[job_id].discard(event)
            if not self._waiting[job_id]:
                del self._waiting[job_id]

    @contextmanager
    def awaiting_answer(self) -> "Iterator[None]":
        """Counts a client that waits for a short task.

        Raises:
            Problem: 503 if too many clients wait already.
        """
        if self._answers >= MAX_ANSWERS:
            detail = f"{MAX_ANSWERS} requests wait for the short worker already; try again later"
            raise Problem(503, "too_many_short_tasks", detail, headers={"Retry-After": "5"})
        self._answers += 1
        try:
            yield
        finally:
            self._answers -= 1


Look = Callable[[int], "tuple[list[JobEvent], bool]"]
"""From a number: the next events, and whether the job has ended with the last of them."""


async def follow(
    look: Look, *, after: int, watchers: Watchers, job_id: str, bulkhead: Bulkhead
) -> "AsyncIterator[JobEvent]":
    """The events after a number, without gap or repeat, until the job's last one."""
    # Watching begins before the first look, so that nothing falls between the two.
    with watchers.watching(job_id) as news:
        while True:
            news.clear()
            events, has_ended = await bulkhead.run(partial(look, after))
            for event in events:
                yield event
                after = event.seq
            if has_ended:
                return
            if len(events) < PAGE_EVENTS:
                try:
                    await asyncio.wait_for(news.wait(), LOOK_SECONDS)
                except TimeoutError:
                    continue
