"""What stands before every route: keys, host names, sizes, and what a browser may do."""

import hashlib
import hmac
import re
from collections.abc import Sequence
from ipaddress import ip_address

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.errors import Problem, problem_response

MAX_BODY_BYTES = 1 << 20
UPLOAD = re.compile(r"/v1/datasets/[^/]+/files")
"""What takes files instead of JSON, up to a limit of its own."""
OPEN_PREFIXES = ("/healthz", "/readyz", "/static/", "/favicon.ico")
"""Reachable without a key: they show nothing of anybody's work."""
LOCAL_HOSTS = frozenset({"localhost", "127.0.0.1", "::1", "testserver"})
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
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


class Gate:
    """ASGI middleware that lets through only what may come in."""

    def __init__(self, app: ASGIApp, *, keys: Sequence[str], host: str, upload_bytes: int) -> None:
        self._app = app
        self._upload_bytes = upload_bytes
        self._keys = [hashlib.sha256(key.encode()).digest() for key in keys]
        # Behind a key any name will do; without one a foreign name is a page of somebody else that
        # had its name resolve to this machine (DNS rebinding).
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
        await self._app(scope, _Limited(receive, self._limit(scope)), sending)

    def _limit(self, scope: Scope) -> int:
        is_upload = scope["method"] == "POST" and UPLOAD.fullmatch(scope["path"])
        return self._upload_bytes if is_upload else MAX_BODY_BYTES

    def _refusal(self, scope: Scope) -> Problem | None:
        headers = Headers(scope=scope)
        if self._hosts is not None and _host_name(headers.get("host", "")) not in self._hosts:
            return Problem(400, "host_unknown", "this service is not known by that Host name")
        if scope["method"] not in SAFE_METHODS and self._is_foreign(headers):
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
        """True for a request that a page of another site makes a browser send."""
        if headers.get("sec-fetch-site") == "cross-site":
            return True
        if self._keys:  # no page can send a key that it does not know
            return False
        origin = headers.get("origin")
        return origin is not None and origin.partition("://")[2] != headers.get("host", "")

    def _has_key(self, headers: Headers) -> bool:
        scheme, _, key = headers.get("authorization", "").partition(" ")
        given = hashlib.sha256(key.strip().encode()).digest()
        # Every key is compared, in constant time: how long it takes tells nothing.
        matches = [hmac.compare_digest(given, known) for known in self._keys]
        return scheme.lower() == "bearer" and any(matches)


class _Limited:
    """A request whose body may not grow beyond the limit."""

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
    """A response with the headers that browsers obey."""

    def __init__(self, send: Send) -> None:
        self._send = send

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in RESPONSE_HEADERS.items():
                headers.setdefault(name, value)
        await self._send(message)


def _is_open(path: str) -> bool:
    return path == "/" or path.startswith(OPEN_PREFIXES)


def _host_name(host: str) -> str:
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0].lower()


def _too_large(limit: int) -> Problem:
    return Problem(413, "body_too_large", f"a body may have {limit:,} bytes at most")
