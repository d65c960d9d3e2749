"""Admission: starts requests a few at a time, so that a burst does not occupy the event loop."""

import asyncio
from collections import deque

from starlette.types import ASGIApp, Receive, Scope, Send

from api.bulkhead import overloaded
from api.delay import QueueDelay
from api.errors import problem_response

PROMPT = "/healthz"
"""Path of the requests that are not queued."""
MAX_BEGINNING = 2
MAX_REFUSED = 32
"""Maximum number of refusals in one pass of the event loop. A refusal takes a tenth of the time
that an admitted request takes."""
MAX_WAITING = 1024


class Admission:
    """ASGI middleware that starts at most MAX_BEGINNING requests in one pass of the event loop.

    Routing and validation take about a millisecond of the event loop for each request. 400 requests
    at once would block all other tasks for half a second. With this middleware other tasks run in
    between. A request leaves the queue when it begins, so a slow client does not delay the requests
    in the queue.
    """

    def __init__(self, app: ASGIApp, *, delay: QueueDelay | None = None) -> None:
        self._app = app
        self._delay = delay or QueueDelay()
        self._queue: deque[tuple[float, asyncio.Future[bool]]] = deque()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes the request on in its turn; answers 503 if the queue is too long or too slow."""
        if scope["type"] == "http" and scope["path"] != PROMPT and not await self._is_admitted():
            waiting = overloaded(len(self._queue) + 1)
            await problem_response(waiting)(scope, receive, send)
            return
        await self._app(scope, receive, send)

    async def _is_admitted(self) -> bool:
        """Waits for the turn of a request; False if it is refused."""
        if len(self._queue) >= MAX_WAITING:
            return False
        loop = asyncio.get_running_loop()
        turn: asyncio.Future[bool] = loop.create_future()
        is_first = not self._queue
        self._queue.append((self._delay.enter(is_empty=is_first), turn))
        if is_first:
            loop.call_soon(self._advance, loop)
        return await turn

    def _advance(self, loop: asyncio.AbstractEventLoop) -> None:
        """Admits the first requests of the queue. Runs in each pass until the queue is empty."""
        begun = refused = 0
        while self._queue and begun < MAX_BEGINNING and refused < MAX_REFUSED:
            entered_at, turn = self._queue.popleft()
            if turn.done():  # the client has closed the connection
                continue
            is_admitted = not self._delay.is_too_long(entered_at)
            turn.set_result(is_admitted)
            begun, refused = begun + is_admitted, refused + (not is_admitted)
        if self._queue:
            loop.call_soon(self._advance, loop)
