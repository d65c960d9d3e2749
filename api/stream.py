"""Follows the events of a job: first all after a number, then new ones when the notifier wakes it.

Between two queries a stream holds no connection to the database or the broker, so slow readers cost
the writers nothing.
"""

import asyncio
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import contextmanager
from typing import TYPE_CHECKING

from api.bulkhead import Bulkhead
from api.errors import Problem

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jobs.tables import JobEvent

MAX_STREAMS = 200
MAX_STREAMS_OF_CLIENT = 100
"""One client, by its address, leaves streams for others."""
MAX_ANSWERS = 100
"""Each waits up to two minutes and queries the database ten times a second."""
LOOK_SECONDS = 1.0
"""Delay of an event if its notification is lost."""
PAGE_EVENTS = 500


class Streams:
    """Counts responses that last as long as a job, and limits them in all and by client."""

    def __init__(
        self, *, max_open: int = MAX_STREAMS, max_of_client: int = MAX_STREAMS_OF_CLIENT
    ) -> None:
        self._max_open = max_open
        self._max_of_client = max_of_client
        self._open: Counter[str] = Counter()

    @contextmanager
    def opened(self, client: str) -> "Iterator[None]":
        """Counts a stream of a client while it is open.

        Raises:
            Problem: 503 if too many are open.
        """
        if self._open.total() >= self._max_open:
            raise _too_many_streams(f"{self._max_open} streams are open")
        if self._open[client] >= self._max_of_client:
            raise _too_many_streams(f"your address has {self._max_of_client} open streams")
        self._open[client] += 1
        try:
            yield
        finally:
            self._open[client] -= 1
            if not self._open[client]:
                del self._open[client]


def _too_many_streams(reason: str) -> Problem:
    detail = f"{reason}; close some, poll instead of following, or try again later"
    return Problem(503, "too_many_streams", detail, headers={"Retry-After": "5"})


class Watchers:
    """The streams and requests that wait for news of a job, on one event loop."""

    def __init__(self) -> None:
        self._waiting: dict[str, set[asyncio.Event]] = defaultdict(set)
        self._loop: asyncio.AbstractEventLoop | None = None
        self.count = 0
        self._answers = 0
        self._looks: dict[tuple[str, int], _SharedLook] = {}

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        """Sets the event loop of the watchers."""
        self._loop = loop

    def wake(self, job_id: str) -> None:
        """Wakes all that wait for that job; may be called from any thread."""
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
        """The result of a query; streams that ask for the same before it begins share it.

        News of a job wakes all of its streams at once, and one query serves them.
        """
        key = (job_id, after)
        shared = self._looks.get(key)
        if shared is None or shared.has_begun:
            # A query that has begun may miss the event that woke this stream.
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
    """A query in a task of its own, which survives the stream that started it."""

    def __init__(self, look: "Look", after: int, bulkhead: Bulkhead) -> None:
        self.has_begun = False

        def run() -> Found:
            self.has_begun = True
            return look(after)

        self.task = asyncio.create_task(bulkhead.run(run))
        self.task.add_done_callback(lambda task: task.cancelled() or task.exception())


Found = tuple[list["JobEvent"], bool]
Look = Callable[[int], Found]
"""A query: the events after a number, and whether the job has ended with the last of them."""


async def follow(
    look: Look, *, after: int, watchers: Watchers, job_id: str, bulkhead: Bulkhead
) -> "AsyncIterator[JobEvent]":
    """The events after a number, without gap or repeat, until the job's last one."""
    # Watching begins before the first query, so that no event is missed in between.
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
