"""HTTP requests to one service, with JSON bodies; a refused request raises an exception."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Self

import httpx2 as httpx

from babylm.client.address import async_transport, parse_address, proxy_errors, proxy_for
from babylm.client.errors import ServiceError, ServiceUnreachable
from babylm.client.wire import Body

TIMEOUT_SECONDS = 30.0
CONNECT_SECONDS = 5.0
RETRIED = (429, 500, 502, 503, 504)
"""HTTP statuses after which the same request may succeed later."""
RETRY_SECONDS = (0.2, 0.5, 1.0, 2.0, 5.0)
"""Seconds to wait after the first, second, ... failure in a row.

The last value applies to all further failures."""
INPUT_INVALID = "input_invalid"
"""Error code of a request that does not fit its schema."""
MAX_POLL_FAILURES = 60
"""Number of failures in a row after which `poll` makes its last request.

The delays between them add up to about five minutes."""


class AsyncConnection:
    """HTTP connections to one service."""

    def __init__(
        self, url: str, *, api_key: str | None = None, timeout_seconds: float = TIMEOUT_SECONDS
    ) -> None:
        address = parse_address(url)
        self.url = str(address)
        self._base_url = address.url
        headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        with proxy_errors(address.url):
            self._http = httpx.AsyncClient(
                base_url=address.url,
                headers=headers,
                timeout=httpx.Timeout(timeout_seconds, connect=CONNECT_SECONDS),
                transport=async_transport(address),
            )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Closes all connections."""
        await self._http.aclose()

    async def call(self, method: str, path: str, **request: Any) -> Any:  # any JSON value
        """Sends a request and returns its JSON.

        Args:
            method: The HTTP method.
            path: The path, which begins with `/v1`.
            request: Further arguments of `httpx.request`, such as `json` and `params`.

        Raises:
            ServiceError: If the service refused the request.
            ServiceUnreachable: If no answer came.
        """
        try:
            answer = await self._http.request(method, path, **request)
        except httpx.TransportError as error:
            raise self._unreachable(error) from error
        _check(answer)
        return answer.json() if answer.content else None

    async def poll(
        self, path: str, *, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    ) -> Any:  # any JSON value
        """Sends a GET request and repeats it after a temporary failure.

        A failure is temporary if no answer came, or if the status is 429, 500, 502, 503 or 504.

        Args:
            path: The path, which begins with `/v1`.
            sleep: Function that waits between two requests.

        Raises:
            ServiceError: If the service refused the request, or failed too often in a row.
            ServiceUnreachable: If too many requests in a row got no answer.
        """
        for failures in range(MAX_POLL_FAILURES):
            try:
                return await self.call("GET", path)
            except ServiceUnreachable:
                pass
            except ServiceError as error:
                if error.status_code not in RETRIED:
                    raise
            await sleep(RETRY_SECONDS[min(failures, len(RETRY_SECONDS) - 1)])
        return await self.call("GET", path)

    async def listing(self, path: str, **request: Any) -> list[Body]:  # Any, as above
        """Requests a list; the response is an array, or an object with the array as `data`.

        Args:
            path: The path, which begins with `/v1`.
            request: Further arguments of `httpx.request`, such as `params`.
        """
        return entries_of(await self.call("GET", path, **request))

    @asynccontextmanager
    async def stream(
        self,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, str] | None = None,
        read_seconds: float = TIMEOUT_SECONDS,
    ) -> AsyncIterator[httpx.Response]:
        """A response that the caller reads piece by piece in a `with` block.

        A broken connection raises an exception of httpx.

        Args:
            path: The path, which begins with `/v1`.
            headers: Headers of the request.
            params: Query parameters.
            read_seconds: Maximum seconds to wait for the next piece.
        """
        timeout = httpx.Timeout(read_seconds, connect=CONNECT_SECONDS)
        async with self._http.stream(
            "GET", path, headers=headers, params=params, timeout=timeout
        ) as answer:
            if answer.is_error:
                await answer.aread()
            _check(answer)
            yield answer

    def _unreachable(self, error: httpx.TransportError) -> ServiceUnreachable:
        proxy = proxy_for(self._base_url)
        if proxy is not None and isinstance(error, httpx.ConnectError | httpx.ProxyError):
            return ServiceUnreachable(
                f"no service at {self.url} through the proxy {proxy[1]}: {error}",
                hint=f"The proxy comes from {proxy[0]}; list the host in NO_PROXY to connect "
                "directly.",
            )
        if isinstance(error, httpx.ConnectError):
            hint = "Start one with `babylm serve`, or name it with --url or BABYLM_URL."
            return ServiceUnreachable(f"no service at {self.url}", hint=hint)
        reason = str(error) or type(error).__name__
        return ServiceUnreachable(f"the service at {self.url} does not answer: {reason}")


def entries_of(answer: Any) -> list[Body]:  # any JSON value
    """The entries of a list, which is an array or an object with the array as `data`."""
    found: list[Body] = answer["data"] if isinstance(answer, dict) else answer
    return found


def _check(answer: httpx.Response) -> None:
    if answer.is_success:
        return
    try:
        problem = answer.json()
    except ValueError:
        problem = {}
    if not isinstance(problem, dict):
        problem = {"detail": str(problem)}
    hint = problem.get("hint")
    if hint is None and answer.status_code == 401:
        hint = "Set BABYLM_API_KEY to a key of the service, and BABYLM_URL to its address."
    raise ServiceError(
        answer.status_code,
        _message(answer, problem),
        hint=hint,
        code=problem.get("code"),
        details=problem,
    )


def _message(answer: httpx.Response, problem: Body) -> str:
    """The problem in words, with one line for each wrong field."""
    title = problem.get("detail") or problem.get("title") or answer.reason_phrase
    lines = [f"{title} ({answer.status_code})"]
    errors = problem.get("errors")
    is_one = problem.get("code") == INPUT_INVALID and isinstance(errors, list) and len(errors) == 1
    for error in errors if isinstance(errors, list) else []:
        if isinstance(error, dict):
            field = error.get("field", "request")
            message = str(error.get("message", "is not valid"))
            explained = f"{field}: {message}"
            if is_one and message != title:  # `detail` names the field only
                return f"{explained} ({answer.status_code})"
            # Skips a field that `detail` explains already.
            if message not in lines[0]:
                lines.append(f"  {explained}")
    return "\n".join(lines)
