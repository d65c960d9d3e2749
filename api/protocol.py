"""Limits the number of connections, the size of headers, and the time to receive them."""

import asyncio
import resource
from time import monotonic

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from api.errors import Problem, problem_response

FILE_LIMIT = 65_536
RESERVED_FILES = 256
"""Number of open files that are reserved for the database, uploads, downloads and logs."""
MAX_CONNECTIONS = 4096
MAX_HEADER_BYTES = 64 << 10
HEADER_SECONDS = 10.0
"""Maximum seconds until the headers of a request are complete. The time of the first request starts
with the connection. The time of a later request starts with the first byte of the request."""


def raise_file_limit() -> int:
    """Raises the soft limit on open files to FILE_LIMIT, or to the hard limit; returns the limit.

    A connection needs a file descriptor, and without one `accept` fails.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    infinite = resource.RLIM_INFINITY
    wanted = FILE_LIMIT if hard == infinite else min(FILE_LIMIT, hard)
    if soft != infinite and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        soft = wanted
    return FILE_LIMIT if soft == infinite else soft


def connection_limit(num_files: int) -> int:
    """The number of connections that a process can serve if it may open `num_files` files."""
    return min(MAX_CONNECTIONS, max(num_files // 2, num_files - RESERVED_FILES))


class BoundedProtocol(HttpToolsProtocol):
    """uvicorn's protocol with limits on connections that wait for a request.

    Beyond `max_connections`, a new connection replaces the oldest connection without a request. So
    clients that open connections and send nothing cannot lock out other clients.
    """

    max_connections = MAX_CONNECTIONS
    header_seconds = HEADER_SECONDS

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Starts the time limit of the first request."""
        self._started_at = monotonic()
        self._num_header_bytes = 0
        self._timer: asyncio.TimerHandle | None = None
        super().connection_made(transport)
        self._start_timer()
        if len(self.connections) > self.max_connections:
            self._make_room()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stops the time limit."""
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Passes the data to the parser; refuses headers that are too long."""
        if self.is_waiting:
            self._start_timer()
            self._num_header_bytes += len(data)
        super().data_received(data)
        if not self.is_waiting:
            self._stop_timer()
            self._num_header_bytes = 0
        elif self._num_header_bytes > MAX_HEADER_BYTES:
            detail = f"request line and headers may have at most {MAX_HEADER_BYTES:,} bytes"
            self._refuse(Problem(431, "headers_too_large", detail))

    @property
    def is_waiting(self) -> bool:
        """True if no request is in progress."""
        return self.cycle is None or self.cycle.response_complete

    def send_400_response(self, msg: str) -> None:
        """Answers a request that the parser rejects; uvicorn's error handling calls this method."""
        self._refuse(Problem(400, "http_invalid", msg))

    def _start_timer(self) -> None:
        if self._timer is None:
            self._timer = self.loop.call_later(self.header_seconds, self._expire)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _expire(self) -> None:
        self._timer = None
        if not self.is_waiting:
            return
        if self._num_header_bytes:
            detail = f"no complete request arrived within {self.header_seconds:g} s"
            self._refuse(Problem(408, "headers_stalled", detail))
        else:
            self.transport.close()

    def _make_room(self) -> None:
        waiting = [
            each
            for each in self.connections
            if isinstance(each, BoundedProtocol) and each is not self and each.is_waiting
        ]
        if waiting:
            min(waiting, key=lambda each: each._started_at).transport.abort()
            return
        detail = f"{self.max_connections} connections are open; try again later"
        self._refuse(Problem(503, "too_many_connections", detail, headers={"Retry-After": "1"}))

    def _refuse(self, problem: Problem) -> None:
        """Sends an error response before a request is complete, and closes the connection."""
        if self.transport.is_closing():
            return
        response = problem_response(problem)
        lines = [name + b": " + value + b"\r\n" for name, value in response.raw_headers]
        head = b"".join([STATUS_LINE[problem.status], *lines, b"connection: close\r\n\r\n"])
        self.transport.write(head + bytes(response.body))
        self.transport.close()


def bounded_protocol(max_connections: int) -> type[BoundedProtocol]:
    """The protocol class with this limit on connections; uvicorn creates the instances."""
    return type("Protocol", (BoundedProtocol,), {"max_connections": max_connections})
