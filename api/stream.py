"""Following a job: first everything after a number, then what comes, woken by the doorbell.

Between two looks nothing is held, neither a connection to the database nor one to the broker, so
any number of slow readers costs the writers nothing.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import contextmanager
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
        self._looks: dict[tuple[str, int], _SharedLook] = {}

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

    async def look(self, job_id: str, after: int, look: "Look", bulkhead: Bulkhead) -> "Found":
        """What a look finds; streams that ask for the same before it begins share it.

        News of a job wake all of its streams at once: one query is enough for them.
        """
        key = (job_id, after)
        shared = self._looks.get(key)
        if shared is None or shared.has_begun:
            # One that has begun may have missed what this stream was woken for.
            shared = self._looks[key] = _SharedLook(look, after, bulkhead)
        try:
            return await asyncio.shield(shared.task)
        finally:
            if self._looks.get(key) is shared:
                del self._looks[key]

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


class _SharedLook:
    """A look in a task of its own: it goes on if the stream that began it is closed."""

    def __init__(self, look: "Look", after: int, bulkhead: Bulkhead) -> None:
        self.has_begun = False

        def run() -> Found:
            self.has_begun = True
            return look(after)

        self.task = asyncio.create_task(bulkhead.run(run))
        self.task.add_done_callback(lambda task: task.cancelled() or task.exception())


Found = tuple[list["JobEvent"], bool]
Look = Callable[[int], Found]
"""From a number: the next events, and whether the job has ended with the last of them."""


async def follow(
    look: Look, *, after: int, watchers: Watchers, job_id: str, bulkhead: Bulkhead
) -> "AsyncIterator[JobEvent]":
    """The events after a number, without gap or repeat, until the job's last one."""
    # Watching begins before the first look, so that nothing falls between the two.
    with watchers.watching(job_id) as news:
        while True:
            news.clear()
            events, has_ended = await watchers.look(job_id, after, look, bulkhead)
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
