"""Routes that run their functions in a bulkhead (a limited set of threads).

A function holds a database connection only while it runs.
"""

import inspect
import re
from collections.abc import Callable, Coroutine, Iterable
from functools import cached_property, wraps
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.routing import APIRoute
from sqlmodel import Session
from starlette.routing import BaseRoute, Match
from starlette.types import Scope

from api.body import BoundedRequest
from api.deps import Context, InContext
from api.security import SAFE_METHODS

CONTEXT = "bulkhead_context"
"""Name of a parameter that `ThreadRoute` adds to a function; a route must not use this name."""


class ThreadRoute(APIRoute):
    """A route that calls a synchronous function once, in one thread of one bulkhead.

    FastAPI's own route needs a thread several times per request: for dependencies, for the function
    and for the validation of its result. This permits a deadlock: requests hold all connections and
    wait for a thread, while all threads wait for a connection. A `ThreadRoute` makes a single call
    in one thread, which runs the function and closes its session. The rest of the request needs no
    thread.
    """

    def __init__(
        self,
        path: str,
        endpoint: Callable[..., Any],  # Any, as in the signature of FastAPI
        *,
        methods: set[str] | list[str] | None = None,
        **options: Any,  # Any, as in the signature of FastAPI
    ) -> None:
        self.is_shared = False
        """Whether identical requests may share an answer, see `SharedAnswers`."""
        if not (inspect.iscoroutinefunction(endpoint) or inspect.isasyncgenfunction(endpoint)):
            is_read = set(methods or ["GET"]) <= SAFE_METHODS
            self.is_shared = is_read and _returns_data(endpoint)
            endpoint = _in_thread(endpoint, is_read=is_read)
        super().__init__(path, endpoint, methods=methods, **options)

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """FastAPI's handler, with a limit on the number of values in the body of a request."""
        handle = super().get_route_handler()

        async def handle_bounded(request: Request) -> Response:
            return await handle(BoundedRequest(request.scope, request.receive))

        return handle_bounded


class ThreadRouter(APIRouter):
    """A router that runs synchronous functions in bulkheads."""

    def __init__(self, tag: str | None = None, *, include_in_schema: bool = True) -> None:
        tags = [tag] if tag else []
        super().__init__(tags=[*tags], route_class=ThreadRoute, include_in_schema=include_in_schema)

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """FastAPI's method, after a check that excludes most paths without a look at each route.

        FastAPI compares a request with the routes of one router after another, and that took a
        third of the event loop's time for a read.
        """
        return super().matches(scope) if self.is_candidate(scope["path"]) else (Match.NONE, {})

    def is_candidate(self, path: str) -> bool:
        """Whether the path ends with the path of a route. If not, no route matches it."""
        return self._paths.search(path) is not None

    @cached_property
    def _paths(self) -> re.Pattern[str]:
        """Is searched at the end of a path, because the router does not know its own prefix."""
        return path_pattern(self.routes)


def path_pattern(routes: Iterable[BaseRoute], *, prefix: str = "") -> re.Pattern[str]:
    """A pattern of the paths: `fullmatch` tests a whole path, `search` the end of a path."""
    paths = [prefix + route.path for route in routes if isinstance(route, APIRoute)]
    patterns = [re.sub(r"\{\w+\}", "[^/]+", re.sub(r"\{\w+:path\}", ".*", each)) for each in paths]
    return re.compile(rf"(?:{'|'.join(patterns)})\Z", re.DOTALL)


def _returns_data(endpoint: Callable[..., Any]) -> bool:  # Any, as in the signature of FastAPI
    """Whether the result becomes a body in memory, which several requests can share."""
    returned = inspect.signature(endpoint).return_annotation
    return not (inspect.isclass(returned) and issubclass(returned, Response))


def _in_thread(
    endpoint: Callable[..., Any],  # Any, as in the signature of FastAPI
    *,
    is_read: bool,
) -> Callable[..., Coroutine[Any, Any, Any]]:
    @wraps(endpoint)
    async def call(**values: Any) -> Any:  # the parameters and the result of a route, of any type
        context: Context = values.pop(CONTEXT)
        sessions = [value for value in values.values() if isinstance(value, Session)]

        def run() -> Any:  # the result of a route, of any type
            try:
                return endpoint(**values)
            finally:
                for session in sessions:
                    session.close()

        return await (context.reads if is_read else context.writes).run(run)

    signature = inspect.signature(endpoint)
    added = inspect.Parameter(CONTEXT, inspect.Parameter.KEYWORD_ONLY, annotation=InContext)
    parameters = [*signature.parameters.values(), added]
    call.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    return call
