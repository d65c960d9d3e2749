"""Reads a job's server-sent events to their end, across broken connections."""

import json
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import cast

import httpx2 as httpx

from babylm.client import Client, ServiceError, ServiceUnreachable
from babylm.wire import FINAL_STATUSES, Event

SILENCE_SECONDS = 45.0
"""The service pings every 15 s; three missed pings are a dead connection."""
RETRY_SECONDS = (0.2, 0.5, 1.0, 2.0, 5.0)


@dataclass(frozen=True)
class Message:
    """One message of the stream."""

    id: str
    event: str
    data: str


def parse_messages(lines: Iterable[str]) -> Iterator[Message]:
    """The messages of an event stream (HTML standard, 9.2.6); comments and pings give none."""
    last_id, event, data = "", "", list[str]()
    for line in lines:
        if not line:
            if data:
                yield Message(last_id, event or "message", "\n".join(data))
            event, data = "", []
            continue
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            data.append(value)
        elif name == "event":
            event = value
        elif name == "id" and "\0" not in value:
            last_id = value


def follow_events(
    client: Client,
    job_id: str,
    *,
    after: int = 0,
    on_break: Callable[[str], None] = lambda _: None,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[Event]:
    """Every event behind `after` once, in order, until the job's last one.

    A broken connection is taken up again behind the last event that was passed on; `on_break` is
    told why. Only Ctrl-C, or the service saying that it knows no such job, ends it early.
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
            if error.code not in (429, 500, 502, 503, 504):
                raise
            reason = error.message
        if after == seen:
            failures += 1
        if failures > 1:
            on_break(reason)
        sleep(RETRY_SECONDS[min(failures, len(RETRY_SECONDS) - 1)])


def _connection(client: Client, job_id: str, after: int) -> Iterator[Event]:
    path = f"/v1/jobs/{job_id}/events/stream"
    headers = {"Accept": "text/event-stream", "Last-Event-ID": str(after)}
    with client.stream(path, headers=headers, read_seconds=SILENCE_SECONDS) as answer:
        for message in parse_messages(answer.iter_lines()):
            if not message.id.isdigit():
                continue
            event = cast(Event, json.loads(message.data))
            if event["seq"] > after:
                after = event["seq"]
                yield event


def _is_over(client: Client, job_id: str, after: int) -> bool:
    """True if the job has ended and no event is left to read."""
    if client.job(job_id).get("status") not in FINAL_STATUSES:
        return False
    return not client.events(job_id, after=after, limit=1)
