"""A shutdown ends open streams and requests that wait, so that it takes no longer than it must."""

import asyncio
import json
import logging
import sys
import time

import pytest

from api.protocol import BoundedProtocol
from api.quiet import QuietFilter
from tests.api.server import connected, everything, served


def request(method: str, path: str, body: bytes = b"") -> bytes:
    head = f"{method} /v1/jobs/{path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}"
    return f"{head}\r\nContent-Type: application/json\r\n\r\n".encode() + body


@pytest.mark.parametrize("path", ["events/stream", "logs?follow=true"])
def test_a_stream_of_a_running_job_ends_with_the_service(app, world, path):
    job_id = world.running()
    with served(app, BoundedProtocol, app.state.context.watchers) as port:
        stream = connected(port)
        stream.sendall(request("GET", f"{job_id}/{path}"))
        assert stream.recv(1000).startswith(b"HTTP/1.1 200 ")
    with stream:
        assert everything(stream).endswith(b"0\r\n\r\n")  # the response is complete


def test_a_request_that_waits_for_a_short_task_is_refused(app, world):
    watchers = app.state.context.watchers
    job_id = world.running()
    world.checkpoint(job_id, "last", step=5, files={"config.json": b"{}"})
    world.worker("short")
    path = f"{job_id}/checkpoints/last/generate"
    with served(app, BoundedProtocol, watchers) as port:
        waiting = connected(port)
        waiting.sendall(request("POST", path, b'{"prompt": "Once"}'))
        while not watchers.count:
            time.sleep(0.01)
    with waiting:
        head, _, body = everything(waiting).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 503 ")
    assert json.loads(body)["code"] == "shutting_down"


def test_a_response_that_a_shutdown_cancels_is_no_error_in_the_log():
    try:
        raise asyncio.CancelledError
    except asyncio.CancelledError:
        cancelled = logging.LogRecord("uvicorn.error", 40, "", 0, "Error", (), sys.exc_info())
    failed = logging.LogRecord("uvicorn.error", 40, "", 0, "Error", (), None)
    quiet = QuietFilter()
    assert not quiet.filter(cancelled)
    assert quiet.filter(failed)
