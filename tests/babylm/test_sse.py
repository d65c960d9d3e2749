import pytest

from babylm.client import ServiceError
from babylm.sse import Message, follow_events, parse_messages
from tests.babylm.stub import Answer, problem, stream

STREAM = "GET /v1/jobs/j/events/stream"
EVENTS = [{"seq": seq, "type": "progress", "data": {}} for seq in range(1, 6)]


def test_messages_are_parsed_as_the_standard_says():
    lines = [": ping", "", "id: 7", "event: metrics", "data: {", "data:}", "", "data: x", ""]
    assert list(parse_messages(lines)) == [
        Message("7", "metrics", "{\n}"),
        Message("7", "message", "x"),
    ]


def follow(client, **more):
    return [event["seq"] for event in follow_events(client, "j", sleep=lambda _: None, **more)]


def test_a_broken_stream_continues_after_the_last_event(stub, client):
    stub.routes[STREAM] = [
        stream(*EVENTS[:2], cut=True),
        problem(503, "too many"),
        stream(*EVENTS[1:4]),
        stream(EVENTS[4]),
    ]
    running, ended = Answer(200, {"status": "running"}), Answer(200, {"status": "succeeded"})
    stub.routes["GET /v1/jobs/j"] = [running, ended]
    stub.routes["GET /v1/jobs/j/events"] = Answer(200, {"data": []})
    assert follow(client) == [1, 2, 3, 4, 5]
    begins = [each.headers["last-event-id"] for each in stub.requests if "stream" in each.path]
    assert begins == ["0", "2", "2", "4"]


def test_events_that_came_after_the_stream_ended_are_not_missed(stub, client):
    stub.routes[STREAM] = [stream(*EVENTS[:4]), stream(EVENTS[4])]
    stub.routes["GET /v1/jobs/j"] = Answer(200, {"status": "succeeded"})
    pages = [Answer(200, {"data": [EVENTS[4]]}), Answer(200, {"data": []})]
    stub.routes["GET /v1/jobs/j/events"] = pages
    assert follow(client) == [1, 2, 3, 4, 5]


def test_an_unknown_job_ends_it(stub, client):
    stub.routes[STREAM] = problem(404, "no such job")
    with pytest.raises(ServiceError, match="no such job"):
        follow(client)
