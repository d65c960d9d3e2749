# Generated from babylm/client/_async by `python -m babylm.generate_sync`. Do not edit.
"""Reads all events of a job; reconnects if a connection breaks."""

import json
import time
from collections.abc import Callable, Iterator
from typing import cast

import httpx2 as httpx

from babylm.client._sync.connection import RETRIED, RETRY_SECONDS, Connection
from babylm.client.errors import ServiceError, ServiceUnreachable
from babylm.client.sse import MessageParser
from babylm.client.wire import FINAL_STATUSES, Event

SILENCE_SECONDS = 45.0
"""Seconds without data after which a connection counts as dead; the service pings every 15 s."""


def follow_events(
    client: Connection,
    job_id: str,
    *,
    after: int = 0,
    on_break: Callable[[str], None] = lambda _: None,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[Event]:
    """Yields each event with a sequence number above `after` once, in order, until the job ends.

    After a broken connection, the function continues after the last event that it yielded. From the
    second connection in a row that brings no event, it calls `on_break` with the reason each time.
    It raises an error only if the service refuses the request, for example because the job is
    unknown.
    """
    failures = 0
    while True:
        seen = after
        try:
            for event in _connection(client, job_id, after):
                after, failures = event["seq"], 0
                yield event
            if _is_over(client, job_id, after):
                return
            reason = "the connection ended"
        except (httpx.TransportError, ServiceUnreachable) as error:
            reason = str(error) or type(error).__name__
        except ServiceError as error:
            if error.status_code not in RETRIED:
                raise
            reason = error.message
        if after == seen:
            failures += 1
        if failures > 1:
            on_break(reason)
        sleep(RETRY_SECONDS[min(failures, len(RETRY_SECONDS) - 1)])


def _connection(client: Connection, job_id: str, after: int) -> Iterator[Event]:
    path = f"/v1/jobs/{job_id}/events/stream"
    headers = {"Accept": "text/event-stream", "Last-Event-ID": str(after)}
    parser = MessageParser()
    with client.stream(path, headers=headers, read_seconds=SILENCE_SECONDS) as answer:
        for line in answer.iter_lines():
            message = parser.feed(line)
            if message is None or not message.id.isdigit():
                continue
            event = cast(Event, json.loads(message.data))
            if event["seq"] > after:
                after = event["seq"]
                yield event


def _is_over(client: Connection, job_id: str, after: int) -> bool:
    """True if the job has ended and all its events were read."""
    job = client.call("GET", f"/v1/jobs/{job_id}")
    if job.get("status") not in FINAL_STATUSES:
        return False
    query = {"after": after, "limit": 1}
    page = client.call("GET", f"/v1/jobs/{job_id}/events", params=query)
    return not page["data"]
