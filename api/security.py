"""Checks key, client, host name and size of every request, and adds headers for browsers."""

import hashlib
import hmac
import re
from collections.abc import Sequence
from ipaddress import IPv6Address, ip_address

import anyio
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.errors import Problem, problem_response

MAX_BODY_BYTES = 1 << 20
UPLOAD = re.compile(r"/v1/(datasets|evaluations)/[^/]+/files|/v1/tokenizer-files/[^/]+")
"""Matches the path of uploads, which have their own limits of size and time."""
CLEANED = re.compile(r"/v1/datasets/[^/]+")
"""Matches the path of a dataset. The first GET of this path starts the cleaning of the dataset, so
a GET can have an effect."""
BODY_SECONDS = 60.0
"""Maximum seconds to receive a JSON body."""
OPEN_PREFIXES = ("/healthz", "/readyz", "/static/", "/favicon.ico")
"""Paths that need no key, because they show no user data."""
OPEN_PAGES = ("/", "/docs")
"""Pages that need no key. They contain no data: their scripts request the data with the key."""
LOCAL_HOSTS = frozenset({"localhost", "127.0.0.1", "::1"})
RESPONSE_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' data:; object-src 'none'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


def is_loopback(host: str) -> bool:
    """True if only this machine can reach the address."""
    if host == "localhost":
        return True
    try:
        address = ip_address(host.strip("[]"))
    except ValueError:
        return False
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped.is_loopback
    return address.is_loopback


class Gate:
    """ASGI middleware that refuses requests before they reach a route."""

    def __init__(self, app: ASGIApp, *, keys: Sequence[str], host: str, upload_bytes: int) -> None:
        self._app = app
        self._upload_bytes = upload_bytes
        self._keys = [hashlib.sha256(key.encode()).digest() for key in keys]
        # With a key, any host name is accepted. Without a key, a request with an unknown host name
        # may come from the page of another site that lets its host name resolve to this machine
        # (DNS rebinding).
        self._hosts = None if keys else LOCAL_HOSTS | {host.strip("[]")}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes the request on, or answers it with a problem."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        problem = self._refusal(scope)
        sending = _WithHeaders(send)
        if problem is not None:
            await problem_response(problem)(scope, receive, sending)
            return
        if not _is_upload(scope):
            receive = timed(receive)
        await self._app(scope, _Limited(receive, self._limit(scope)), sending)

    def _limit(self, scope: Scope) -> int:
        return self._upload_bytes if _is_upload(scope) else MAX_BODY_BYTES

    def _refusal(self, scope: Scope) -> Problem | None:
        headers = Headers(scope=scope)
        # Checked for each request, because a server other than `babylm api` may run this app on
        # any address.
        if not self._keys and scope["client"] is not None and not is_loopback(scope["client"][0]):
            detail = "without BABYLM_API_KEY this service answers clients of its own machine only"
            return Problem(403, "key_not_set", detail)
        if self._hosts is not None and _host_name(headers.get("host", "")) not in self._hosts:
            detail = (
                "the Host header does not name this service; use localhost or the address in "
                "BABYLM_HOST, or set BABYLM_API_KEY"
            )
            return Problem(400, "host_unknown", detail)
        has_effect = scope["method"] not in SAFE_METHODS or CLEANED.fullmatch(scope["path"])
        if has_effect and self._is_foreign(headers):
            return Problem(403, "cross_site", "a page of another site must not change anything")
        if self._keys and not _is_open(scope["path"]) and not self._has_key(headers):
            detail = "send a key of this service: Authorization: Bearer KEY"
            challenge = {"WWW-Authenticate": "Bearer"}
            return Problem(401, "key_missing", detail, headers=challenge)
        length = headers.get("content-length", "0")
        limit = self._limit(scope)
        if length.isdigit() and int(length) > limit:
            return _too_large(limit)
        return None

    def _is_foreign(self, headers: Headers) -> bool:
        """True for a request that a browser sends for a page of another site."""
        if headers.get("sec-fetch-site") == "cross-site":
            return True
        if self._keys:  # a page cannot send a key that it does not know
            return False
        origin = headers.get("origin")
        return origin is not None and origin.partition("://")[2] != headers.get("host", "")

    def _has_key(self, headers: Headers) -> bool:
        scheme, _, key = headers.get("authorization", "").partition(" ")
        given = hashlib.sha256(key.strip().encode()).digest()
        # Compares every key, in constant time, so that the response time reveals nothing.
        matches = [hmac.compare_digest(given, known) for known in self._keys]
        return scheme.lower() == "bearer" and any(matches)


def _is_upload(scope: Scope) -> bool:
    return scope["method"] == "POST" and UPLOAD.fullmatch(scope["path"]) is not None


def timed(receive: Receive, *, seconds: float = BODY_SECONDS) -> Receive:
    """Receives a body; raises a 408 problem if the body is not complete in time."""
    deadline: float | None = None
    is_complete = False

    async def receive_in_time() -> Message:
        nonlocal deadline, is_complete
        if is_complete:  # the next message only reports that the client has disconnected
            return await receive()
        if deadline is None:
            deadline = anyio.current_time() + seconds
        try:
            with anyio.fail_after(deadline - anyio.current_time()):
                message = await receive()
        except TimeoutError as error:
            detail = f"the body did not arrive within {seconds:g} s"
            raise Problem(408, "body_stalled", detail) from error
        is_complete = not message.get("more_body", False)
        return message

    return receive_in_time


class _Limited:
    """Receives a body; raises a 413 problem if the body exceeds the limit."""

    def __init__(self, receive: Receive, limit: int) -> None:
        self._receive = receive
        self._limit = limit
        self._bytes = 0

    async def __call__(self) -> Message:
        message = await self._receive()
        self._bytes += len(message.get("body", b""))
        if self._bytes > self._limit:
            raise _too_large(self._limit)
        return message


class _WithHeaders:
    """Sends a response with security headers for browsers."""

    def __init__(self, send: Send) -> None:
        self._send = send

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in RESPONSE_HEADERS.items():
                headers.setdefault(name, value)
        await self._send(message)


def _is_open(path: str) -> bool:
    return path in OPEN_PAGES or path.startswith(OPEN_PREFIXES)


def _host_name(host: str) -> str:
    if host.startswith("["):
        name, closing, _ = host[1:].partition("]")
        return name if closing else ""
    return host.partition(":")[0].lower()


def _too_large(limit: int) -> Problem:
    return Problem(413, "body_too_large", f"a body may have at most {limit:,} bytes")
