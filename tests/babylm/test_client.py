import pytest

from babylm.client import Client, ServiceError, ServiceUnreachable
from babylm.wire import FINAL_STATUSES
from jobs.states import FINAL
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
    assert client.submit({"preset": "sample"}, idempotency_key="once")["id"] == "a"
    assert [each.headers["idempotency-key"] for each in stub.requests] == ["once", "once"]
    assert stub.requests[0].body == stub.requests[1].body


def test_lists_continue_over_pages(stub, client):
    pages = [
        {"data": [{"id": str(number)} for number in range(100)], "next": "c1"},
        {"data": [{"id": str(number)} for number in range(100, 150)], "next": None},
    ]
    stub.routes["GET /v1/jobs"] = [Answer(200, page) for page in pages]
    assert [job["id"] for job in client.jobs(limit=120)] == [str(number) for number in range(120)]
    assert "after=c1" in stub.requests[1].path
    assert "limit=20" in stub.requests[1].path


def test_a_job_is_found_by_the_beginning_of_its_id_and_as_the_last(stub, client):
    ids = ["aaaa1111", "aaaa2222", "bbbb3333"]
    stub.routes["GET /v1/jobs"] = Answer(200, {"data": [{"id": each} for each in ids]})
    for each in ids:
        stub.routes[f"GET /v1/jobs/{each}"] = Answer(200, {"id": each})
    assert client.job("last")["id"] == "aaaa1111"
    assert client.job("bbbb")["id"] == "bbbb3333"
    with pytest.raises(Exception, match="beginning of 2"):
        client.job("aaaa")
    with pytest.raises(ServiceError, match="404"):
        client.job("bb")
