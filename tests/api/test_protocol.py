"""Connections that send nothing, half a request or nonsense do not block other clients."""

import json
import logging
import resource
from contextlib import ExitStack
from typing import Any

import anyio
import pytest

from api.errors import Problem
from api.protocol import (
    FILE_LIMIT,
    MAX_CONNECTIONS,
    MAX_HEADER_BYTES,
    BoundedProtocol,
    bounded_protocol,
    connection_limit,
    raise_file_limit,
)
from api.quiet import MAX_ALIKE, MAX_SAME, WINDOW_SECONDS, QuietFilter
from api.security import timed
from tests.api.server import connected, everything, served

HEALTH = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


class Impatient(BoundedProtocol):
    header_seconds = 0.1


@pytest.fixture
def port(app):
    with served(app, bounded_protocol(5)) as port:
        yield port


@pytest.fixture
def impatient(app):
    with served(app, Impatient) as port:
        yield port


def problem_of(answer: bytes) -> dict[str, Any]:
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"content-type: application/problem+json" in head.lower(), answer
    assert f"content-length: {len(body)}".encode() in head.lower()
    problem = json.loads(body)
    assert head.startswith(f"HTTP/1.1 {problem['status']} ".encode())
    return problem


@pytest.mark.parametrize(
    "begin",
    [b"G", b"GET /healthz HTTP/1.1\r\n", b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: y"],
)
def test_half_a_request_is_answered_and_closed_in_time(impatient, begin):
    with connected(impatient) as connection:
        connection.sendall(begin)
        assert problem_of(everything(connection))["code"] == "headers_stalled"


def test_a_connection_that_sends_nothing_is_closed(impatient):
    with connected(impatient) as connection:
        assert everything(connection) == b""


def test_half_a_second_request_is_closed_too(impatient):
    with connected(impatient) as connection:
        connection.sendall(HEALTH.replace(b"Connection: close\r\n", b""))
        answer = b""
        while b'{"status":"ok"}' not in answer:
            answer += connection.recv(65536)
        connection.sendall(HEALTH[:20])
        assert problem_of(everything(connection))["code"] == "headers_stalled"


def test_connections_without_a_request_give_way(port):
    with ExitStack() as stack:
        for number in range(40):
            silent = stack.enter_context(connected(port))
            silent.sendall(HEALTH[: number % 30])
        for _ in range(10):
            asking = stack.enter_context(connected(port))
            asking.sendall(HEALTH)
            assert everything(asking).startswith(b"HTTP/1.1 200 ")


def test_where_every_connection_has_a_request_a_new_one_is_refused(port, world):
    job_id = world.running()
    request = f"GET /v1/jobs/{job_id}/events/stream HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
    with ExitStack() as stack:
        for _ in range(5):
            stream = stack.enter_context(connected(port))
            stream.sendall(request)
            assert stream.recv(1000).startswith(b"HTTP/1.1 200 ")
        refused = problem_of(everything(stack.enter_context(connected(port))))
        assert (refused["status"], refused["code"]) == (503, "too_many_connections")


@pytest.mark.parametrize(
    ("request_bytes", "code"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "http_invalid"),
        (b"GET\r\n\r\n", "http_invalid"),
        (b"GET / HTTP/9.9\r\n\r\n", "http_invalid"),
        (b"GET /\xff HTTP/1.1\r\nHost: localhost\r\n\r\n", "http_invalid"),
        (b"GET / HTTP/1.1\r\nContent-Length: x\r\n\r\n", "http_invalid"),
        (b"GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", "http_invalid"),
        (b"GET / HTTP/1.1\r\nA b: c\r\n\r\n", "http_invalid"),
        (b"GET / HTTP/1.1\r\nX: " + b"y" * MAX_HEADER_BYTES, "headers_too_large"),
        (b"GET /" + b"y" * MAX_HEADER_BYTES, "headers_too_large"),
        (b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * MAX_HEADER_BYTES, "headers_too_large"),
    ],
)
def test_bytes_that_are_not_a_request_are_refused_with_a_problem(port, request_bytes, code):
    with connected(port) as connection:
        connection.sendall(request_bytes)
        assert problem_of(everything(connection))["code"] == code


def test_a_large_body_right_after_the_headers_is_no_large_header(port):
    body = b'{"name": "' + b"x" * (2 * MAX_HEADER_BYTES) + b'"}'
    head = f"POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n"
    head += "Content-Type: application/json\r\nConnection: close\r\n\r\n"
    with connected(port) as connection:
        connection.sendall(head.encode() + body)
        assert problem_of(everything(connection))["code"] == "input_invalid"


def test_a_body_that_does_not_arrive_is_refused():
    async def silent() -> dict[str, Any]:
        await anyio.sleep_forever()
        raise AssertionError

    async def call() -> None:
        with pytest.raises(Problem) as caught:
            await timed(silent, seconds=0.01)()
        assert (caught.value.status, caught.value.code) == (408, "body_stalled")

    anyio.run(call)


def test_waiting_for_a_disconnect_has_no_time_limit():
    messages = [{"type": "http.request", "body": b""}, {"type": "http.disconnect"}]

    async def receive() -> dict[str, Any]:
        return messages.pop(0)

    async def call() -> None:
        receive_in_time = timed(receive, seconds=0.0)
        # The limit of 0 s has already passed. A wait for the body fails. The wait for a disconnect,
        # which follows the whole body, does not fail.
        with pytest.raises(Problem):
            await timed(anyio.sleep_forever, seconds=0.0)()
        assert (await receive_in_time())["type"] == "http.request"
        await anyio.sleep(0)
        assert (await receive_in_time())["type"] == "http.disconnect"

    anyio.run(call)


def test_the_limit_on_open_files_is_raised():
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (512, before[1]))
        limit = raise_file_limit()
        assert limit == resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        assert limit == min(FILE_LIMIT, before[1])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.mark.parametrize(
    ("files", "connections"), [(64, 32), (1024, 768), (4096, 3840), (65_536, MAX_CONNECTIONS)]
)
def test_connections_leave_files_for_other_things(files, connections):
    assert connection_limit(files) == connections


def test_the_same_line_is_not_logged_a_thousand_times():
    now = 0.0
    quiet = QuietFilter(clock=lambda: now)

    def is_kept(text: str, *args: object) -> bool:
        return bool(quiet.filter(record(text, *args)))

    assert sum(is_kept("socket.accept() out of system resource") for _ in range(1000)) == MAX_SAME
    assert sum(is_kept("GET %s: failed", f"/{number}") for number in range(1000)) == MAX_ALIKE
    assert is_kept("something else")
    now += WINDOW_SECONDS
    first = record("something else")
    assert quiet.filter(first)
    dropped = 1000 - MAX_SAME + 1000 - MAX_ALIKE
    note = f"{dropped:,} messages were dropped before this one, to limit the log"
    assert first.getMessage() == f"something else ({note})"
    again = record("something else")
    assert quiet.filter(again)
    assert again.getMessage() == "something else"


def record(text: str, *args: object) -> logging.LogRecord:
    return logging.LogRecord("api", logging.WARNING, __file__, 1, text, args, None)
