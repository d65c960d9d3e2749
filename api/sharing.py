"""Identical reads at the same time share one answer."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

from starlette.types import ASGIApp, Message, Receive, Scope, Send

Answer = TypeVar("Answer")


class SharedReads(Generic[Answer]):
    """Runs one read per key at a time; callers that arrive during a read share the next one.

    A caller never gets an answer that was read before it called. So each client still reads its own
    writes, and a hundred dashboards that show the same page cost the service one read at a time.
    """

    def __init__(self) -> None:
        self._running: dict[Hashable, asyncio.Future[None]] = {}
        self._next: dict[Hashable, asyncio.Future[Answer | None]] = {}

    async def run(self, key: Hashable, read: Callable[[], Awaitable[Answer]]) -> Answer:
        """The answer of a read with this key that begins after this call.

        Args:
            key: Equal for reads that have the same answer.
            read: Is called by one of the waiting callers. Its errors are raised for all of them.
        """
        while (following := self._next.get(key)) is not None:
            # Without `shield`, a caller that is cancelled would cancel the read of the others.
            answer = await asyncio.shield(following)
            if answer is not None:
                return answer
        if key in self._running:
            return await self._run_next(key, read)
        return await self._run_now(key, read)

    async def _run_next(self, key: Hashable, read: Callable[[], Awaitable[Answer]]) -> Answer:
        """Waits until the running read has ended, then reads for all callers that have joined."""
        shared: asyncio.Future[Answer | None] = asyncio.get_running_loop().create_future()
        self._next[key] = shared
        try:
            try:
                await asyncio.wait([self._running[key]])
            finally:
                del self._next[key]
            answer = await self._run_now(key, read)
        except Exception as error:
            shared.set_exception(error)
            shared.exception()  # else asyncio would log the error if no other caller has joined
            raise
        except BaseException:  # this caller was cancelled; one of the others reads
            shared.set_result(None)
            raise
        shared.set_result(answer)
        return answer

    async def _run_now(self, key: Hashable, read: Callable[[], Awaitable[Answer]]) -> Answer:
        ended = self._running[key] = asyncio.get_running_loop().create_future()
        try:
            return await read()
        finally:
            del self._running[key]
            ended.set_result(None)


class SharedAnswers:
    """ASGI middleware: identical GET requests share answers, see `SharedReads`.

    Requests are identical if their paths, queries and headers are equal; the headers contain the
    key of the user. Routing, dependencies and validation take more time than most queries, so the
    requests are compared before them.
    """

    def __init__(self, app: ASGIApp, *, paths: re.Pattern[str]) -> None:
        """`paths` matches the paths of the routes whose answers fit in memory."""
        self._app = app
        self._paths = paths
        self._reads: SharedReads[list[Message]] = SharedReads()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers with the messages of a shared read, or passes the request on."""
        if not self.is_shared(scope):
            await self._app(scope, receive, send)
            return
        key = (scope["path"], scope["query_string"], *scope["headers"])
        for message in await self._reads.run(key, lambda: self._read(scope, receive)):
            await send(_copied(message))

    def is_shared(self, scope: Scope) -> bool:
        """Whether the answer to this request may be that of another identical request."""
        is_read = scope["type"] == "http" and scope["method"] == "GET"
        return is_read and self._paths.fullmatch(scope["path"]) is not None

    async def _read(self, scope: Scope, receive: Receive) -> list[Message]:
        messages: list[Message] = []

        async def keep(message: Message) -> None:
            messages.append(message)

        await self._app(scope, receive, keep)
        return messages


def _copied(message: Message) -> Message:
    """A message with its own list of headers, because the outer middleware adds headers to it."""
    if message["type"] == "http.response.start":
        return {**message, "headers": list(message["headers"])}
    return message
