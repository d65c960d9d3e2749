"""Every invalid request gets a problem document of the same shape, never a 500."""

import json

import pytest

from api.errors import MEDIA_TYPE, STATUSES
from core import errors as core_errors
from jobs import errors as jobs_errors
from tests.api.conftest import SPEC
from tests.api.routes import filled, routes

UNKNOWN = "0" * 32
NO_FIELD = "there is no such field"

BODIES = {
    "NaN": b'{"training": {"learning_rate": NaN}}',
    "infinity": b'{"training": {"learning_rate": -Infinity}}',
    "1e999": b'{"training": {"learning_rate": 1e999}}',
    "lone surrogate": b'{"name": "\\ud800"}',
    "lone surrogate as a key": b'{"\\udfff": 1}',
    "2^63": b'{"training": {"seed": 9223372036854775808}}',
    "5000 digits": b'{"training": {"seed": ' + b"9" * 5000 + b"}}",
    "deep nesting": b"[" * 100_000,
    "deep nesting, closed": b'{"name":' + b"[" * 5000 + b"]" * 5000 + b"}",
    "invalid UTF-8": b'{"name": "\xff\xfe"}',
    "NUL": b'{"name": "a\\u0000b"}',
    "a list": b"[1, 2]",
    "a text": b'"spec"',
    "null": b"null",
    "a number": b"7",
    "half": b'{"name": "a',
    "nothing": b"",
    "an unknown field": b'{"learning_rate": 1}',
    "a number as text": b'{"training": {"epochs": "3"}}',
    "a boolean as number": b'{"training": {"seed": true}}',
    "a dataset that climbs": b'{"data": {"dataset": "../../etc"}}',
    "a dataset with a line break": b'{"data": {"dataset": "words\\n"}}',
}
NAMES = [
    *("..", "%2e%2e", "%2E%2e%2f", "..%2f..%2fetc%2fpasswd", "%2fetc%2fpasswd", "..%5c..%5cetc"),
    *("%00", "a%00b", "a%0a", "%0aa", "a%0d%0ab", "last%20", "%20last", "-rf", "%c0%ae%c0%ae"),
    *("%ff%fe", "%ed%a0%80", "a" * 65, "a" * 5000, "%f0%9f%98%80", "%", "%zz", ";", "*", "~root"),
]


def is_problem(answer) -> bool:
    body = answer.json()
    assert answer.headers["content-type"] == MEDIA_TYPE, answer.body
    assert {"type", "title", "status", "code", "detail"} <= set(body), body
    status = getattr(answer, "status", None) or answer.status_code
    assert body["status"] == status
    assert 400 <= status < 500 or status in (503, 507), body
    return True


@pytest.mark.parametrize("path", ["/v1/jobs", "/v1/jobs/estimate", "/v1/tokenizers"])
@pytest.mark.parametrize("name", BODIES)
def test_no_body_is_answered_with_a_500(raw, path, name):
    answer = raw.send("POST", path, BODIES[name], content_type="application/json")
    assert answer.status in (400, 422), answer.body
    assert is_problem(answer)


@pytest.mark.parametrize("kind", [None, "text/plain", "application/x-www-form-urlencoded"])
def test_a_body_that_is_not_called_json_is_refused(raw, kind):
    # Content types that a page of another site can send without a CORS preflight.
    answer = raw.send("POST", "/v1/jobs", b'{"preset": "sample"}', content_type=kind)
    assert answer.status == 422
    assert is_problem(answer)
    assert "Content-Type: application/json" in answer.json()["detail"]
    assert answer.json()["errors"][0]["given"] == json.dumps('{"preset": "sample"}')


@pytest.mark.parametrize("name", NAMES)
def test_no_name_in_a_path_reaches_a_file(raw, world, settings, name):
    job_id = world.running()
    world.checkpoint(job_id, files={"config.json": b"{}"})
    (settings.runs_dir / "secret").write_text("canary")
    (settings.data_dir / "secret").write_text("canary")
    paths = {
        f"/v1/jobs/{name}",
        f"/v1/jobs/{name}/events",
        f"/v1/jobs/{name}/metrics",
        f"/v1/jobs/{name}/logs",
        f"/v1/jobs/{job_id}/checkpoints/{name}/archive",
        f"/v1/jobs/{job_id}/checkpoints/{name}/files/config.json",
        f"/v1/jobs/{job_id}/checkpoints/last/files/{name}",
        f"/v1/jobs/{job_id}/checkpoints/last/files/..%2f..%2f..%2f..%2fsecret",
        f"/v1/jobs/{job_id}/checkpoints/last/files/{name}/secret",
        f"/v1/datasets/{name}",
        f"/static/{name}",
        f"/static/..%2f{name}",
    }
    for path in paths:
        answer = raw.send("GET", path)
        assert answer.status in (400, 404, 405, 422), (path, answer.status, answer.body[:200])
        assert is_problem(answer)
        assert b"canary" not in answer.body
        assert str(settings.runs_dir).encode() not in answer.body
        assert str(settings.data_dir).encode() not in answer.body


def test_a_refusal_names_the_field_and_the_given_value(client):
    spec = SPEC | {"training": SPEC["training"] | {"epoch": 3}}
    answer = client.post("/v1/jobs", json=spec)
    assert answer.status_code == 422
    [error] = answer.json()["errors"]
    assert error["field"] == "training.epoch"
    assert error["given"] == "3"
    assert "training.epoch" in answer.json()["detail"]


@pytest.mark.parametrize("path", ["/v1/jobs", "/v1/jobs/estimate"])
def test_an_error_names_the_right_section_of_a_misplaced_field(client, path):
    body = {"learning_rate": 1e-3, "data": {"seed": 1}, "nonsense": 1}
    faults = {
        fault["field"]: fault["message"] for fault in client.post(path, json=body).json()["errors"]
    }
    accepted = "accepted here: name, preset, track, task, data, tokenizer, init_from, model"
    assert accepted in faults["learning_rate"]
    assert faults["learning_rate"].startswith(f"{NO_FIELD}; did you mean training.learning_rate? (")
    assert faults["data.seed"].startswith(f"{NO_FIELD}; did you mean training.seed? (")
    assert "did you mean" not in faults["nonsense"]


@pytest.mark.parametrize(
    ("body", "meant"),
    [
        ({"training": {"learning_rat": 1e-3}}, "training.learning_rate"),
        ({"trainig": {}}, "training"),
        ({"model": {"architecture": "olmo2", "hiden_size": 64}}, "model.hidden_size"),
    ],
)
def test_an_error_suggests_a_field_for_a_mistyped_one(client, body, meant):
    [fault] = client.post("/v1/jobs", json=body).json()["errors"]
    assert fault["message"].startswith(f"{NO_FIELD}; did you mean {meant}? (")


def test_an_unknown_corpus_is_named_with_those_that_exist(client):
    answer = client.post("/v1/jobs", json=SPEC | {"data": {"dataset": "nowhere"}})
    assert answer.status_code == 422
    fields = {error["field"]: error["message"] for error in answer.json()["errors"]}
    assert set(fields) == {"data.dataset", "data.validation"}
    assert "words, words_dev" in fields["data.dataset"]
    for message in fields.values():  # a message gives the value, the fault and the remedy
        name = message.removeprefix("there is no dataset ").partition(";")[0]
        assert f"`babylm datasets add {name} PATH`" in message


def test_an_impossible_shape_names_the_field(client):
    model = SPEC["model"] | {"num_attention_heads": 5}
    answer = client.post("/v1/jobs", json=SPEC | {"model": model})
    assert answer.status_code == 422
    assert any(error["field"].startswith("model") for error in answer.json()["errors"])


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=1001", "limit=99999999999999999999", "after=!"]
)
def test_an_invalid_page_is_refused(client, query):
    answer = client.get(f"/v1/jobs?{query}")
    assert answer.status_code == 422
    assert is_problem(answer)


@pytest.mark.parametrize(
    "query", ["after=-1", "after=9223372036854775808", "limit=0", "after=NaN", "limit=1e3"]
)
def test_an_invalid_event_number_is_refused(client, world, query):
    answer = client.get(f"/v1/jobs/{world.job()}/events?{query}")
    assert answer.status_code == 422
    assert is_problem(answer)


def test_a_body_that_is_too_large_is_refused_before_it_is_read(raw):
    answer = raw.send("POST", "/v1/jobs", b"", content_length=str((1 << 20) + 1))
    assert answer.status == 413
    assert is_problem(answer)


def test_a_body_without_a_length_is_cut_off(raw):
    read = 0

    def endless():
        nonlocal read
        for _ in range(64):
            read += 1 << 16
            yield b" " * (1 << 16)

    answer = raw.send("POST", "/v1/jobs", endless(), content_type="application/json")
    assert answer.status == 413
    assert is_problem(answer)


@pytest.mark.parametrize("route", routes(), ids=str)
def test_a_method_that_a_route_does_not_know_is_405(raw, route):
    answer = raw.send("PUT", filled(route.path, job_id=UNKNOWN))
    assert answer.status == 405
    assert is_problem(answer)
    known = answer.headers["allow"]
    assert route.method in known.split(", ")
    assert answer.json()["detail"].endswith(f"does not support PUT; supported methods: {known}")


def test_a_file_of_the_dashboard_cannot_be_written(raw):
    answer = raw.send("POST", "/static/index.html", b"x")
    assert answer.status == 405
    expected = "/static/index.html does not support POST; supported methods: GET, HEAD"
    assert answer.json()["detail"] == expected


@pytest.mark.parametrize("route", [each for each in routes() if "{job" in each.path], ids=str)
def test_a_job_that_does_not_exist_is_404(raw, route):
    body = b"{}" if route.method == "POST" else b""
    answer = raw.send(route.method, filled(route.path, job_id=UNKNOWN), body)
    # If the route takes a body, an incomplete body is refused first.
    assert answer.status in (404, 422), answer.body
    assert is_problem(answer)


def test_nothing_is_404_in_words(client):
    answer = client.get("/v1/nothing")
    assert answer.status_code == 404
    assert is_problem(answer)
    assert "/v1/nothing" in answer.json()["detail"]


def subclasses(base: type[Exception]) -> set[type[Exception]]:
    found = set(base.__subclasses__())
    return found | {deeper for each in found for deeper in subclasses(each)}


@pytest.mark.parametrize(
    "error",
    sorted(subclasses(core_errors.RunError) | subclasses(jobs_errors.JobsError), key=str),
    ids=lambda each: each.__name__,
)
def test_each_error_has_a_status(error):
    assert 400 <= STATUSES[error] < 600
    assert error.code not in ("service_error", "run_failed")


def test_no_two_errors_share_a_code():
    codes = [error.code for error in STATUSES]
    assert len(codes) == len(set(codes))


@pytest.mark.parametrize(
    ("body", "field", "accepted"),
    [
        ({"training": {"batchsize": 3}}, "training.batchsize", "batch_size"),
        ({"model": {"architecture": "olmo2", "heads": 3}}, "model.heads", "num_attention_heads"),
        ({"model": {"architecture": "mamba"}}, "model.architecture", "gemma2, llama4, olmo2"),
        ({"preset": "nope"}, "preset", "olmo2-10m"),
    ],
)
def test_a_refusal_names_the_field_and_the_accepted_values(raw, body, field, accepted):
    answer = raw.send(
        "POST", "/v1/jobs", json.dumps(body).encode(), content_type="application/json"
    )
    [error] = answer.json()["errors"]
    assert error["field"] == field
    assert accepted in error["message"]
    assert "Value error" not in error["message"]
