"""The playground over HTTP: text that is streamed during generation, and surprisal by token."""

import json

import pytest

from api.short import answers_of
from core.events.types import ErrorData
from jobs.short_tasks import (
    claim_short_task,
    create_short_task,
    fail_short_task,
    report_partial,
    succeed_short_task,
)
from tests.api.short import ShortWorker

FILES = {"config.json": b"{}"}


@pytest.fixture
def base(world):
    made = world.running()
    world.checkpoint(made, "last", step=5, files=FILES)
    return f"/v1/jobs/{made}/checkpoints/last"


def events(answer) -> list[dict]:
    lines = [line for line in answer.text.splitlines() if line.startswith("data:")]
    return [json.loads(line.removeprefix("data:")) for line in lines]


def test_a_stream_ends_with_the_whole_text(client, world, base):
    def write(session, task):
        assert task.request["stream"] is True
        succeed_short_task(session, task.id, task.attempt, {"text": "Once more"})

    with ShortWorker(world, write):
        answer = client.post(f"{base}/generate/stream", json={"prompt": "Once"})
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert events(answer)[-1] == {
        **{"text": "Once more", "done": True, "checkpoint": "last"},
        **{"error": None},
    }


def test_each_partial_text_is_given_once_before_the_result(app, client, world, base):
    job_id, worker = base.split("/")[3], world.worker("short")
    with world.database.write() as session:
        request = {"checkpoint": "last"}
        create_short_task(session, kind="generate", job_id=job_id, request=request)
        task = claim_short_task(session, worker)
        report_partial(session, task.id, task.attempt, {"text": "Once"})

    async def read():
        found = answers_of(app.state.context, task.id)
        first = await anext(found)
        with world.database.write() as session:
            succeed_short_task(session, task.id, task.attempt, {"text": "Once more"})
        return [first, *[each async for each in found]]

    assert client.portal.call(read) == [({"text": "Once"}, False), ({"text": "Once more"}, True)]


@pytest.mark.parametrize(
    ("message", "hint", "expected"),
    [
        ("no text", "Try again.", "no text. Try again."),
        ("No text.", "Try again.", "No text. Try again."),
        ("no text", "", "no text"),
    ],
)
def test_a_failure_after_the_start_is_the_last_event(client, world, base, message, hint, expected):
    def fail(session, task):
        error = ErrorData(code="time_limit", message=message, hint=hint)
        fail_short_task(session, task.id, task.attempt, error)

    with ShortWorker(world, fail):
        answer = client.post(f"{base}/generate/stream", json={})
    [last] = events(answer)
    assert last["done"] is True
    assert last["error"]["code"] == "time_limit"
    assert last["error"]["message"] == expected


@pytest.mark.parametrize("call", ["generate/stream", "surprisal"])
def test_without_a_short_worker_the_call_is_refused_at_once(client, base, call):
    body = {"texts": ["a"]} if call == "surprisal" else {}
    answer = client.post(f"{base}/{call}", json=body)
    assert answer.status_code == 503
    assert answer.json()["code"] == "no_worker"


def test_texts_are_scored_in_their_order(client, world, base):
    first = {"text": "The", "surprisal": None, "alternatives": []}
    other = [{"text": " dog", "probability": 0.5}]
    second = {"text": " dogs", "surprisal": 2.5, "alternatives": other}
    scored = [{"surprisal": 2.5, "tokens": [first, second]}, {"surprisal": 0.0, "tokens": [first]}]

    def score(session, task):
        assert task.request["texts"] == ["The dogs", "The"]
        assert task.request["alternatives"] == 5
        succeed_short_task(session, task.id, task.attempt, {"texts": scored})

    with ShortWorker(world, score):
        answer = client.post(f"{base}/surprisal", json={"texts": ["The dogs", "The"]})
    assert answer.json() == {"checkpoint": "last", "texts": scored}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "texts"),
        ({"texts": []}, "texts"),
        ({"texts": [""]}, "texts.0"),
        ({"texts": ["a" * 2001]}, "texts.0"),
        ({"texts": ["a"] * 9}, "texts"),
        ({"texts": ["a"], "alternatives": 21}, "alternatives"),
        ({"texts": ["a"], "top": 3}, "top"),
    ],
)
def test_a_request_that_cannot_be_scored_is_refused_by_field(client, base, body, field):
    answer = client.post(f"{base}/surprisal", json=body)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == field


def test_a_checkpoint_that_does_not_exist_is_404(client, base):
    other = base.replace("/last", "/step-9")
    assert client.post(f"{other}/surprisal", json={"texts": ["a"]}).status_code == 404
    assert client.post(f"{other}/generate/stream", json={}).status_code == 404
