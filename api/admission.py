"""Admission: requests begin a few at a time, so that a burst does not occupy the event loop."""

import anyio
from anyio.lowlevel import checkpoint
from starlette.types import ASGIApp, Receive, Scope, Send

from api.bulkhead import overloaded
from api.errors import problem_response

PROMPT = "/healthz"
"""Not queued."""
MAX_BEGINNING = 2
MAX_WAITING = 1024


class Admission:
    """ASGI middleware that starts at most MAX_BEGINNING requests in one pass of the event loop.

    Routing and validation take about a millisecond of the event loop for each request. 400 that
    arrive at once would hold up everything else for half a second; here other tasks run in between.
    A request occupies no place once it has begun, so a slow client holds up nobody.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._beginning = anyio.Semaphore(MAX_BEGINNING)
        self._waiting = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes the request on in its turn, or answers 503 if too many wait."""
        if scope["type"] == "http" and scope["path"] != PROMPT:
            if self._waiting >= MAX_WAITING:
                await problem_response(overloaded(MAX_WAITING))(scope, receive, send)
                return
            self._waiting += 1
            try:
                async with self._beginning:
                    await checkpoint()
            finally:
                self._waiting -= 1
        await self._app(scope, receive, send)
