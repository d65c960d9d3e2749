import pytest

from babylm.client import Client, ServiceError, ServiceUnreachable, Study
from babylm.client._sync.checkpoint import Checkpoint
from babylm.client._sync.connection import MAX_POLL_FAILURES
from babylm.client._sync.submission import build_submission
from babylm.client.wire import FINAL_STATUSES
from jobs.states import FINAL
from tests.babylm.conftest import error_of
from tests.babylm.stub import Answer, Request, problem


def test_the_final_statuses_are_those_of_the_service():
    assert FINAL_STATUSES == FINAL


def test_a_refusal_names_each_wrong_field(stub, client):
    errors = [
        {"field": "training.epochs", "message": "must be greater than 0, not -1"},
        {"field": "model.hidden_size", "message": "must be divisible by 8, not 100"},
    ]
    stub.routes["POST /v1/jobs"] = problem(422, "The request is not valid", errors=errors)
    with pytest.raises(ServiceError) as refused:
        client.submit({}, idempotency_key="k")
    assert refused.value.status == 1
    assert refused.value.message.splitlines() == [
        "The request is not valid (422)",
        "  training.epochs: must be greater than 0, not -1",
        "  model.hidden_size: must be divisible by 8, not 100",
    ]


@pytest.mark.parametrize(
    "message", ["there is no dataset a", "data.dataset: there is no dataset a"]
)
def test_a_refusal_whose_detail_explains_the_fields_does_so_once(stub, client, message):
    detail = "data.dataset: there is no dataset a"
    errors = [{"field": "data.dataset", "message": message}]
    stub.routes["POST /v1/jobs"] = problem(422, detail, errors=errors)
    with pytest.raises(ServiceError) as refused:
        client.submit({}, idempotency_key="k")
    assert refused.value.message == f"{detail} (422)"


def test_without_a_service_the_error_says_how_to_start_one():
    with Client("http://127.0.0.1:1") as client, pytest.raises(ServiceUnreachable) as raised:
        client.submit({}, idempotency_key="k")
    assert raised.value.message == "no service at http://127.0.0.1:1"
    assert "babylm serve" in str(raised.value.hint)


@pytest.mark.parametrize("body", [b"<html>", b"", b"[1]"])
def test_an_error_that_is_no_problem_document_is_reported_all_the_same(stub, client, body):
    stub.routes["GET /v1/jobs/x"] = Answer(502, body)
    with pytest.raises(ServiceError, match=r"\(502\)"):
        client.job("x")


def test_the_key_is_sent_as_bearer_and_a_missing_one_is_explained(stub):
    def guarded(request: Request) -> Answer:
        known = request.headers.get("authorization") == "Bearer secret"
        return Answer(200, {"data": [], "next": None}) if known else problem(401, "Unauthorized")

    stub.routes["GET /v1/jobs"] = guarded
    with Client(stub.url, api_key="secret") as client:
        assert client.jobs() == []
    with Client(stub.url) as client, pytest.raises(ServiceError, match="BABYLM_API_KEY"):
        client.jobs()


def test_a_submit_whose_answer_was_lost_is_sent_again_with_the_same_key(stub, client):
    job = {"id": "a", "status": "queued"}
    stub.routes["POST /v1/jobs"] = [Answer(201, job, cut_after=3), Answer(200, job)]
    assert client.submit({"preset": "sample"}, idempotency_key="once").id == "a"
    assert [each.headers["idempotency-key"] for each in stub.requests] == ["once", "once"]
    assert stub.requests[0].body == stub.requests[1].body


def test_lists_continue_over_pages(stub, client):
    pages = [
        {"data": [{"id": str(number)} for number in range(100)], "next": "c1"},
        {"data": [{"id": str(number)} for number in range(100, 150)], "next": None},
    ]
    stub.routes["GET /v1/jobs"] = [Answer(200, page) for page in pages]
    assert [job.id for job in client.jobs(limit=120)] == [str(number) for number in range(120)]
    assert "after=c1" in stub.requests[1].path
    assert "limit=20" in stub.requests[1].path


def test_the_list_takes_an_order_and_its_table_shows_the_metric_of_it(stub, run):
    jobs = [
        {"id": f"{number:032x}", "status": "succeeded", "metrics": {"values": values}}
        for number, values in enumerate([{"evaluation/blimp": 0.6125}, {}])
    ]
    stub.routes["GET /v1/jobs"] = Answer(200, {"data": jobs, "next": None})
    shown = run("jobs", "--sort", "-evaluation/blimp", BABYLM_URL=stub.url).stdout
    assert "sort=-evaluation%2Fblimp" in stub.requests[0].path
    assert "evaluation/blimp" in shown
    assert "61.3%" in shown


def test_a_job_is_found_by_the_beginning_of_its_id_and_as_the_last(stub, client):
    ids = ["aaaa1111", "aaaa2222", "bbbb3333"]
    stub.routes["GET /v1/jobs"] = Answer(200, {"data": [{"id": each} for each in ids]})
    for each in ids:
        stub.routes[f"GET /v1/jobs/{each}"] = Answer(200, {"id": each})
    assert client.job("last").id == "aaaa1111"
    assert client.job("bbbb").id == "bbbb3333"
    with pytest.raises(Exception, match="beginning of 2"):
        client.job("aaaa")
    with pytest.raises(ServiceError, match=r"^there is no job bb\n") as raised:
        client.job("bb")
    assert (raised.value.status_code, raised.value.code) == (404, "job_not_found")


@pytest.mark.parametrize("status", [404, 422])
def test_a_name_that_no_id_begins_with_is_reported_as_such(stub, run, status):
    refusal = problem(status, "The request is not valid", errors=[{"field": "job_id"}])
    for kind in ("jobs", "studies"):
        stub.routes[f"GET /v1/{kind}/nope"] = refusal
        stub.routes[f"GET /v1/{kind}"] = Answer(200, {"data": [{"id": "aaaa1111"}]})
    service = {"BABYLM_URL": stub.url}
    for command in ("show", "finetune"):
        error = error_of(run(command, "nope", **service))
        assert error.message == "there is no job nope"
        assert "`babylm jobs` lists the ids; their beginning" in error.hint
        assert "`last` is the newest job" in error.hint
    error = error_of(run("study-show", "nope", **service))
    assert error.message == "there is no study nope"
    assert "`babylm studies` lists the ids" in error.hint
    assert not any(request.method == "POST" for request in stub.requests)


def wait_for_study(client, sleep):
    study = Study(client, {"id": "s", "name": "s", "counts": {"running": 1}})
    return study.wait(sleep=sleep).counts


def wait_for_evaluation(client, sleep):
    checkpoint = Checkpoint(client, "j", {"name": "last"})
    return checkpoint.evaluate("blimp", sleep=sleep)["status"]


def wait_for_submission(client, sleep):
    return build_submission(client, "j", "me/model", sleep=sleep)


RUNNING, DONE = (
    {"id": "e", "status": "running", "progress": 0.5},
    {"id": "e", "status": "succeeded"},
)
REPORT = {"repository": "me/model", "report": {"missing": ["blimp"]}, "status": "succeeded"}
UNFINISHED, FINISHED = ({**REPORT, "unfinished_evaluations": number} for number in (1, 0))
OVER = {"id": "s", "counts": {"succeeded": 1}}
POLLED = [
    (wait_for_study, "/v1/studies/s", [], [OVER], {"succeeded": 1}),
    (
        wait_for_evaluation,
        "/v1/jobs/j/evaluations",
        [("/v1/jobs/j/checkpoints/last/evaluations", RUNNING)],
        [{"data": [DONE]}],
        "succeeded",
    ),
    (
        wait_for_submission,
        "/v1/jobs/j/submission",
        [("/v1/jobs/j/submission", RUNNING), ("/v1/jobs/j/submission", FINISHED)],
        [UNFINISHED, FINISHED],
        REPORT["report"],
    ),
]


@pytest.mark.parametrize(("wait", "path", "posts", "states", "result"), POLLED)
def test_waiting_survives_lost_answers(stub, client, wait, path, posts, states, result):
    for post, _ in posts:
        stub.routes[f"POST {post}"] = [Answer(201, body) for _, body in posts]
    answers = [[problem(503, "busy"), Answer(200, each, cut_after=3), Answer(200, each)]
               for each in states]  # fmt: skip
    stub.routes[f"GET {path}"] = [answer for group in answers for answer in group]
    pauses = []
    assert wait(client, pauses.append) == result
    assert pauses.count(0.2) == len(states)
    assert sum(request.method == "GET" for request in stub.requests) == 3 * len(states)


def test_waiting_ends_with_a_refusal_and_with_a_service_that_stays_away(stub, client):
    stub.routes["GET /v1/studies/s"] = problem(404, "gone")
    with pytest.raises(ServiceError, match="gone"):
        wait_for_study(client, lambda _: None)
    assert len(stub.requests) == 1
    pauses = []
    with Client("http://127.0.0.1:1") as away, pytest.raises(ServiceUnreachable):
        wait_for_study(away, pauses.append)
    assert len(pauses) == MAX_POLL_FAILURES
    assert max(pauses) == 5.0
