"""A hostile request is refused with a short answer, however many faults it has."""

import json

import pytest

from api.body import MAX_VALUES
from api.errors import MAX_ERRORS
from tests.api.test_problems import is_problem

MAX_ANSWER_BYTES = 100_000
LONG = "x" * 900_000
FIELDS = MAX_VALUES - 10
PATHS = ["/v1/jobs", "/v1/jobs/estimate", "/v1/tokenizers"]
BODIES = {
    "unknown fields": {f"field{number}": number for number in range(FIELDS)},
    "unknown fields of a section": {"training": {f"seed{number}": 1 for number in range(FIELDS)}},
    "sources that are no text": {"data": {"sources": [1] * FIELDS}},
    "sources that are not there": {"data": {"sources": [f"s{number}" for number in range(FIELDS)]}},
    "a name of 900 kB": {LONG: 1},
    "a name of 900 kB in a section": {"training": {LONG: 1}},
    "a value of 900 kB": {"name": LONG},
    "an architecture of 900 kB": {"model": {"architecture": LONG}},
    "a preset of 900 kB": {"preset": LONG},
    "a dataset of 900 kB": {"data": {"dataset": LONG}},
    "a number of 4,000 digits": {"training": {"seed": int("9" * 4000)}},
    "20 large values": {f"field{number}": "x" * 40_000 for number in range(MAX_ERRORS)},
}


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("name", BODIES)
def test_the_answer_to_a_body_with_many_or_large_faults_is_short(raw, path, name):
    answer = raw.send("POST", path, json.dumps(BODIES[name]).encode())
    assert answer.status == 422, answer.body[:500]
    assert is_problem(answer)
    assert len(answer.body) <= MAX_ANSWER_BYTES
    assert len(answer.json()["errors"]) <= MAX_ERRORS


def test_a_refusal_says_how_many_faults_it_leaves_out(raw):
    answer = raw.send("POST", "/v1/jobs", json.dumps(BODIES["unknown fields"]).encode())
    assert len(answer.json()["errors"]) == MAX_ERRORS
    assert answer.json()["detail"].endswith(f"field19 and {FIELDS - MAX_ERRORS:,} more")


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "body",
    [
        {f"field{number}": 1 for number in range(60_000)},
        {"data": {"sources": [1] * 400_000}},
        [[]] * 200_000,
    ],
    ids=["fields", "items", "lists"],
)
def test_a_body_of_too_many_values_is_refused_before_it_is_validated(raw, path, body):
    answer = raw.send("POST", path, json.dumps(body, separators=(",", ":")).encode())
    assert answer.status == 413
    assert answer.json()["code"] == "body_too_large"
    assert f"{MAX_VALUES:,} keys and items" in answer.json()["detail"]


def test_a_complete_spec_is_far_below_the_limit(raw, client):
    [preset] = [
        each for each in client.get("/v1/presets").json()["data"] if each["name"] == "sample"
    ]
    answer = raw.send("POST", "/v1/jobs/estimate", json.dumps(preset["spec"]).encode())
    assert answer.status == 200, answer.body
    assert len(json.dumps(preset["spec"]).split(":")) < MAX_VALUES / 10


def test_the_answer_to_many_query_parameters_is_short(raw):
    query = "&".join(f"unknown{number}=1" for number in range(5000)) + "&" + "y" * 5000
    answer = raw.send("GET", f"/v1/jobs?{query}")
    assert answer.status == 422
    assert len(answer.json()["errors"]) == MAX_ERRORS
    assert answer.json()["detail"].endswith(f"and {5001 - MAX_ERRORS:,} more")
    statuses = "&".join(f"status=s{number}" for number in range(5000))
    answer = raw.send("GET", f"/v1/jobs?{statuses}")
    assert len(answer.json()["errors"]) == MAX_ERRORS


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"[" * 100_000, "nested too deeply"),
        (b'{"a": ' + b"9" * 5000 + b"}", "4300"),
        (b'"\xff"', "utf-8"),
        (b"{", "line 1 column 2"),
    ],
)
def test_a_body_that_is_no_json_says_why(raw, body, reason):
    answer = raw.send("POST", "/v1/jobs", body)
    assert (answer.status, answer.json()["code"]) == (400, "json_invalid")
    assert reason in answer.json()["detail"]


def test_413_has_one_code(raw, client):
    def endless():
        for _ in range(64):
            yield b" " * (1 << 16)

    answers = [
        raw.send("POST", "/v1/jobs", b"", content_length=str((1 << 20) + 1)),
        raw.send("POST", "/v1/jobs", endless(), content_type="application/json"),
        raw.send("POST", "/v1/datasets/a/files?name=a.txt", b"", content_length=str(1 << 40)),
    ]
    assert {(answer.status, answer.json()["code"]) for answer in answers} == {
        (413, "body_too_large")
    }
