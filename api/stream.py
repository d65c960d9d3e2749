"""Streams the events of a job: first all events after a given `seq`, then each new event.

Between two queries a stream holds no connection to the database or the broker, so slow clients do
not delay processes that write.
"""

import asyncio
from collections import Counter, OrderedDict, defaultdict
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fastapi.sse import KEEPALIVE_COMMENT, format_sse_event
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from api.bulkhead import Bulkhead
from api.errors import Problem
from api.schemas import read_event

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jobs.history import Event

MAX_STREAMS = 200
MAX_STREAMS_OF_CLIENT = 100
"""Maximum number of streams of one client (by address), so that other clients also get streams."""
MAX_ANSWERS = 100
"""Maximum number of requests that wait for a short task, such as generating text. Each request may
wait for two minutes, and queries the database ten times per second."""
LOOK_SECONDS = 1.0
"""Maximum seconds until an event is sent if its notification is lost."""
GATHER_SECONDS = 0.01
"""Seconds by which a query is delayed, so that all streams that a notification wakes share it."""
PAGE_EVENTS = 500
PAGES_KEPT = 64
"""Number of encoded pages of past events in memory, about 10 MB."""
PING_SECONDS = 15.0
"""Seconds without an event after which a stream sends a ping, because proxies close connections
that are silent for a minute."""


@dataclass(frozen=True)
class Page:
    """Encoded events of a job, which all streams of the job share."""

    body: bytes
    last: int
    """`seq` of the last event; for an empty page, the `seq` after which events were requested."""
    is_full: bool
    """Whether more events may already exist."""
    has_ended: bool
    """Whether the job has ended and has no later events than these."""


def encode_page(events: "Sequence[Event]", *, after: int, has_ended: bool) -> Page:
    """Encodes events of a job as server-sent events."""
    body = b"".join(
        format_sse_event(
            data_str=read_event(event).model_dump_json(), event=event.type, id=str(event.seq)
        )
        for event in events
    )
    last = events[-1].seq if events else after
    return Page(body, last, is_full=len(events) == PAGE_EVENTS, has_ended=has_ended)


class EventStream(StreamingResponse):
    """A response of encoded server-sent events, several in a chunk."""

    media_type = "text/event-stream"

    def __init__(self, chunks: AsyncGenerator[bytes], status_code: int = 200) -> None:
        # Nginx must not buffer the events.
        headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
        super().__init__(chunks, status_code, headers)
        self._chunks = chunks

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Sends the events until the last one, or until the client disconnects."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            await self._chunks.aclose()


class Streams:
    """Counts open streams, and limits their total number and their number per client."""

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
            Problem: 503 if too many streams are open.
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
    """The streams and requests that wait for news of a job or a short task, on one event loop."""

    def __init__(self) -> None:
        self._waiting: dict[str, set[asyncio.Event]] = defaultdict(set)
        self._loop: asyncio.AbstractEventLoop | None = None
        self.count = 0
        self.is_closed = False
        """Whether the server is shutting down, so that all streams must end."""
        self._answers = 0
        self._looks: dict[tuple[str, int], _SharedLook] = {}
        self._pages: OrderedDict[tuple[str, int], Page] = OrderedDict()

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        """Sets the event loop of the watchers."""
        self._loop = loop

    def wake(self, job_id: str) -> None:
        """Wakes all watchers of a job. You can call this method from any thread."""
        loop = self._loop
        if loop is not None and not loop.is_closed():
            loop.call_soon_threadsafe(self._wake, job_id)

    def close(self) -> None:
        """Ends all streams and waiting requests. Call this method on the event loop."""
        self.is_closed = True
        for job_id in self._waiting:
            self._wake(job_id)

    def _wake(self, job_id: str) -> None:
        for event in self._waiting.get(job_id, ()):
            event.set()

    @contextmanager
    def watching(self, job_id: str) -> "Iterator[asyncio.Event]":
        """An asyncio event that is set whenever the job may have new events."""
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

    async def look(self, job_id: str, after: int, look: "Look", bulkhead: Bulkhead) -> Page:
        """The page of a query, shared by all streams that request it before the query begins.

        A notification wakes all streams of a job at once, and one query is enough for them. Full
        pages are cached: they never change, and each new stream reads them again, because it begins
        with all past events.
        """
        key = (job_id, after)
        if key in self._pages:
            self._pages.move_to_end(key)
            return self._pages[key]
        page = await self._look(key, look, bulkhead)
        if page.is_full and not page.has_ended:
            self._pages[key] = page
            if len(self._pages) > PAGES_KEPT:
                self._pages.popitem(last=False)
        return page

    async def _look(self, key: tuple[str, int], look: "Look", bulkhead: Bulkhead) -> Page:
        shared = self._looks.get(key)
        if shared is None or shared.has_begun:
            # A query that has begun may miss the event that woke this stream.
            shared = self._looks[key] = _SharedLook(look, key[1], bulkhead)
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
    """A query in an asyncio task of its own, which continues if the stream that started it ends."""

    def __init__(self, look: "Look", after: int, bulkhead: Bulkhead) -> None:
        self.has_begun = False

        def begin() -> Page:
            self.has_begun = True
            return look(after)

        async def run() -> Page:
            await asyncio.sleep(GATHER_SECONDS)
            return await bulkhead.run(begin)

        self.task = asyncio.create_task(run())
        self.task.add_done_callback(lambda task: task.cancelled() or task.exception())


Look = Callable[[int], Page]
"""A query for the events after a given `seq`, at most PAGE_EVENTS of them."""


async def follow(
    look: Look, *, after: int, watchers: Watchers, job_id: str, bulkhead: Bulkhead
) -> AsyncGenerator[bytes]:
    """Yields all events with a `seq` above `after`, in order, until the last event of the job."""
    # Watching begins before the first query, so that no event is missed in between.
    with watchers.watching(job_id) as news:
        idle_seconds = 0.0
        while True:
            news.clear()
            page = await watchers.look(job_id, after, look, bulkhead)
            after = page.last
            if page.body:
                idle_seconds = 0.0
                yield page.body
            if page.has_ended or watchers.is_closed:
                return
            if page.is_full:
                await asyncio.sleep(0)  # lets other tasks run: reading a cached page does not wait
                continue
            try:
                await asyncio.wait_for(news.wait(), LOOK_SECONDS)
            except TimeoutError:
                idle_seconds += LOOK_SECONDS
            if idle_seconds >= PING_SECONDS:
                idle_seconds = 0.0
                yield KEEPALIVE_COMMENT
