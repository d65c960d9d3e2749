"""Following a job: first everything after a number, then what comes, woken by the doorbell.

Between two looks nothing is held, neither a connection to the database nor one to the broker, so
any number of slow readers costs the writers nothing.
"""

import asyncio
from collections import OrderedDict, defaultdict
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

    from jobs.tables import JobEvent

MAX_WATCHERS = 100
MAX_ANSWERS = 100
"""Each waits up to two minutes, and asks the database ten times a second."""
LOOK_SECONDS = 1.0
"""How long a lost call of the doorbell goes unnoticed."""
PAGE_EVENTS = 500
PAGES_KEPT = 64
"""Encoded pages of past events: about 10 MB."""
PING_SECONDS = 15.0
"""Proxies close connections that are silent for a minute."""


@dataclass(frozen=True)
class Page:
    """Events of a job as they are sent: encoded once for all streams that want them."""

    body: bytes
    last: int
    """`seq` of the last event, or the number that was asked for."""
    is_full: bool
    """More events may follow at once."""
    has_ended: bool
    """The job has ended with the last of these events."""


def encode_page(events: "Sequence[JobEvent]", *, after: int, has_ended: bool) -> Page:
    """The events as server-sent events."""
    body = b"".join(
        format_sse_event(
            data_str=read_event(event).model_dump_json(), event=event.type, id=str(event.seq)
        )
        for event in events
    )
    last = events[-1].seq if events else after
    return Page(body, last, is_full=len(events) == PAGE_EVENTS, has_ended=has_ended)


class EventStream(StreamingResponse):
    """Server-sent events that are encoded already, several in a chunk."""

    media_type = "text/event-stream"

    def __init__(self, chunks: AsyncGenerator[bytes], status_code: int = 200) -> None:
        # Nginx must not buffer them.
        headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
        super().__init__(chunks, status_code, headers)
        self._chunks = chunks

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Sends them until the last one, or until the client is gone."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            await self._chunks.aclose()


class Watchers:
    """Who waits for news of which job, on one event loop."""

    def __init__(self) -> None:
        self._waiting: dict[str, set[asyncio.Event]] = defaultdict(set)
        self._loop: asyncio.AbstractEventLoop | None = None
        self.count = 0
        self._answers = 0
        self._looks: dict[tuple[str, int], _SharedLook] = {}
        self._pages: OrderedDict[tuple[str, int], Page] = OrderedDict()

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

    async def look(self, job_id: str, after: int, look: "Look", bulkhead: Bulkhead) -> Page:
        """What a look finds; streams that ask for the same before it begins share it.

        News of a job wake all of its streams at once: one query is enough for them. A full page
        never changes and is kept, because each new stream begins with all past events.
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
            # One that has begun may have missed what this stream was woken for.
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
    """A shared read of events, in a task that outlives the stream that started it."""

    def __init__(self, look: "Look", after: int, bulkhead: Bulkhead) -> None:
        self.has_begun = False

        def run() -> Page:
            self.has_begun = True
            return look(after)

        self.task = asyncio.create_task(bulkhead.run(run))
        self.task.add_done_callback(lambda task: task.cancelled() or task.exception())


Look = Callable[[int], Page]
"""The events from a number on, at most PAGE_EVENTS."""


async def follow(
    look: Look, *, after: int, watchers: Watchers, job_id: str, bulkhead: Bulkhead
) -> AsyncGenerator[bytes]:
    """The events after a number, without gap or repeat, until the job's last one."""
    # Watching begins before the first look, so that nothing falls between the two.
    with watchers.watching(job_id) as news:
        idle_seconds = 0.0
        while True:
            news.clear()
            page = await watchers.look(job_id, after, look, bulkhead)
            after = page.last
            if page.body:
                idle_seconds = 0.0
                yield page.body
            if page.has_ended:
                return
            if page.is_full:
                await asyncio.sleep(0)  # a page that is kept needs no wait: let others run
                continue
            try:
                await asyncio.wait_for(news.wait(), LOOK_SECONDS)
            except TimeoutError:
                idle_seconds += LOOK_SECONDS
            if idle_seconds >= PING_SECONDS:
                idle_seconds = 0.0
                yield KEEPALIVE_COMMENT
