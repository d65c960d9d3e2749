import csv
import io
import json
import math
from dataclasses import replace

import pytest

from api.errors import Problem
from api.stream import Streams


def parsed(text: str) -> list[dict]:
    """The events of a stream; comments are left out."""
    events = []
    for block in text.replace("\r\n", "\n").split("\n\n"):
        lines = [line for line in block.split("\n") if line and not line.startswith(":")]
        if lines:
            events.append(dict(line.split(": ", 1) for line in lines))
    return events


@pytest.fixture
def ended(world):
    """A job with events 1 to 8; five of these events report a step."""
    job_id = world.running()
    for step in range(1, 6):
        world.metrics(job_id, step, train__loss=5.0 - step)
    world.end(job_id)
    return job_id


def test_events_follow_a_number(client, ended):
    events = client.get(f"/v1/jobs/{ended}/events").json()["data"]
    assert [event["seq"] for event in events] == list(range(1, 9))
    assert [event["type"] for event in events] == ["status"] * 2 + ["metrics"] * 5 + ["status"]
    page = client.get(f"/v1/jobs/{ended}/events?after=3&limit=2").json()["data"]
    assert page == events[3:5]
    assert client.get(f"/v1/jobs/{ended}/events?after=8").json()["data"] == []


def test_the_stream_is_the_same_and_ends_with_the_job(client, ended):
    events = client.get(f"/v1/jobs/{ended}/events").json()["data"]
    answer = client.get(f"/v1/jobs/{ended}/events/stream")
    assert answer.headers["content-type"].startswith("text/event-stream")
    streamed = parsed(answer.text)
    assert [int(each["id"]) for each in streamed] == list(range(1, 9))
    assert [each["event"] for each in streamed] == [event["type"] for event in events]
    assert [json.loads(each["data"]) for each in streamed] == events


def test_the_stream_continues_after_the_last_event_id(client, ended):
    path = f"/v1/jobs/{ended}/events/stream"
    rest = parsed(client.get(path, headers={"Last-Event-ID": "6"}).text)
    assert [int(each["id"]) for each in rest] == [7, 8]
    # Last-Event-ID of the browser takes precedence over the `after` of the first request.
    both = parsed(client.get(f"{path}?after=2", headers={"Last-Event-ID": "7"}).text)
    assert [int(each["id"]) for each in both] == [8]
    # EventSource reconnects after any stream that ends, but not after 204.
    complete = client.get(path, headers={"Last-Event-ID": "8"})
    assert (complete.status_code, complete.content) == (204, b"")


def test_an_empty_last_event_counts_as_none(client, ended):
    path = f"/v1/jobs/{ended}/events/stream?after=6"
    streamed = parsed(client.get(path, headers={"Last-Event-ID": ""}).text)
    assert [int(each["id"]) for each in streamed] == [7, 8]


@pytest.mark.parametrize("seen", ["-1", "x", "9223372036854775808", "1e3"])
def test_an_invalid_last_event_id_is_refused(client, ended, seen):
    answer = client.get(f"/v1/jobs/{ended}/events/stream", headers={"Last-Event-ID": seen})
    assert answer.status_code == 422


@pytest.mark.parametrize("path", ["events/stream", "logs?follow=true"])
def test_too_many_streams_are_refused_with_a_time_to_wait(client, app, ended, path):
    streams = Streams(max_open=1)
    app.state.context = replace(app.state.context, streams=streams)
    for _ in range(3):  # a stream that has ended does not count as open
        assert client.get(f"/v1/jobs/{ended}/{path}").status_code == 200
    with streams.opened("192.0.2.1"):
        answer = client.get(f"/v1/jobs/{ended}/{path}")
        assert client.get(f"/v1/jobs/{ended}/logs").status_code == 200
    assert answer.status_code == 503
    assert answer.headers["retry-after"]
    assert answer.json()["code"] == "too_many_streams"


def test_one_client_leaves_streams_for_others():
    streams = Streams(max_open=3, max_of_client=2)
    with streams.opened("a"), streams.opened("a"):
        with pytest.raises(Problem, match="your address has 2"), streams.opened("a"):
            pass
        with streams.opened("b"), pytest.raises(Problem, match="3 streams"), streams.opened("c"):
            pass
    with streams.opened("a"), streams.opened("a"), streams.opened("b"):
        pass


def test_metrics_come_as_series_by_step(client, ended):
    series = client.get(f"/v1/jobs/{ended}/metrics").json()["series"]
    assert list(series) == ["train/loss"]
    loss = series["train/loss"]
    assert loss["step"] == [1, 2, 3, 4, 5]
    assert loss["value"] == [4.0, 3.0, 2.0, 1.0, 0.0]
    assert loss["words_seen"] == [70, 140, 210, 280, 350]
    later = client.get(f"/v1/jobs/{ended}/metrics?names=train/loss&after_step=3").json()
    assert later["series"]["train/loss"]["step"] == [4, 5]


def test_a_metric_that_was_not_measured_is_empty(client, ended):
    series = client.get(f"/v1/jobs/{ended}/metrics?names=train/loss,none/such").json()["series"]
    assert series["none/such"]["step"] == []
    assert len(series["train/loss"]["step"]) == 5


def test_a_value_that_is_not_finite_is_null_in_json_and_empty_in_csv(client, raw, world):
    job_id = world.running()
    world.metrics(job_id, 1, train__loss=math.nan, train__grad_norm=math.inf)
    world.metrics(job_id, 2, train__loss=1.5, train__grad_norm=2.0)
    series = raw.send("GET", f"/v1/jobs/{job_id}/metrics").json()["series"]
    assert series["train/loss"]["value"] == [None, 1.5]
    assert series["train/grad_norm"]["value"] == [None, 2.0]
    events = raw.send("GET", f"/v1/jobs/{job_id}/events").json()["data"]
    assert events[2]["data"]["values"] == {"train/loss": None, "train/grad_norm": None}
    assert raw.send("GET", f"/v1/jobs/{job_id}").json()["metrics"]["step"] == 2
    answer = client.get(f"/v1/jobs/{job_id}/metrics?format=csv&names=train/loss,train/grad_norm")
    assert answer.headers["content-type"].startswith("text/csv")
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert [row["train/loss"] for row in rows] == ["", "1.5"]
    assert [row["step"] for row in rows] == ["1", "2"]


def test_a_long_series_is_thinned_and_keeps_its_ends_and_peaks(client, world):
    job_id = world.running()
    for step in range(1, 201):
        world.metrics(job_id, step, train__loss=99.0 if step == 77 else 1.0)
    series = client.get(f"/v1/jobs/{job_id}/metrics?max_points=40").json()["series"]["train/loss"]
    assert len(series["step"]) <= 40
    assert (series["step"][0], series["step"][-1]) == (1, 200)
    assert 77 in series["step"]


@pytest.mark.parametrize("query", ["max_points=3", "format=xml", "after_step=-2"])
def test_an_invalid_query_of_metrics_is_refused(client, ended, query):
    assert client.get(f"/v1/jobs/{ended}/metrics?{query}").status_code == 422


def test_the_tail_of_the_log(client, settings, ended):
    path = f"/v1/jobs/{ended}/logs"
    assert client.get(path).text == ""
    log = settings.job_folder(ended) / "run.log"
    log.parent.mkdir(parents=True)
    log.write_bytes(b"".join(b"line %d\n" % number for number in range(1000)))
    answer = client.get(f"{path}?tail=3")
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.text == "line 997\nline 998\nline 999\n"
    assert client.get(f"{path}?tail=0").text == ""
    assert client.get(path).text.count("\n") == 200
    followed = client.get(f"{path}?tail=2&follow=true")
    assert followed.text == "line 998\nline 999\n"
    assert client.get(f"{path}?tail=-1").status_code == 422


def test_a_log_contains_no_control_sequences(client, settings, ended):
    log = settings.job_folder(ended) / "run.log"
    log.parent.mkdir(parents=True)
    log.write_bytes(b"\x1b]0;owned\x07 \xff </script>\n")
    assert client.get(f"/v1/jobs/{ended}/logs").text == "\\x1b]0;owned\\x07 \ufffd </script>\n"
