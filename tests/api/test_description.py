"""The OpenAPI document says what the service answers."""

import pytest

from api.app import create_app
from api.errors import MEDIA_TYPE
from api.security import OPEN_PREFIXES
from tests.api.test_security import KEYS, with_keys

DOWNLOADS = {
    "/v1/jobs/{job_id}/checkpoints/{name}/files/{path}": "application/octet-stream",
    "/v1/jobs/{job_id}/checkpoints/{name}/archive": "application/zip",
    "/v1/jobs/{job_id}/evaluations/{evaluation}/predictions": "application/json",
}
CONTENT = {
    "/v1/jobs/{job_id}/logs": {"text/plain"},
    "/v1/jobs/{job_id}/events/stream": {"text/event-stream"},
    "/v1/jobs/{job_id}/metrics": {"application/json", "text/csv"},
    "/v1/jobs/{job_id}/curves": {"application/json", "text/csv", "text/markdown"},
    "/metrics": {"text/plain"},
}


@pytest.fixture
def document(app):
    return app.openapi()


def calls(document):
    return [
        (path, method, call)
        for path, methods in document["paths"].items()
        for method, call in methods.items()
    ]


def test_each_refusal_is_a_problem(document):
    for path, method, call in calls(document):
        for status, response in call["responses"].items():
            if int(status) >= 400:
                content = set(response["content"])
                assert MEDIA_TYPE in content, (path, method, status)
                assert content == {MEDIA_TYPE} or (path, status) == ("/readyz", "503")
    names = set(document["components"]["schemas"])
    assert {"ProblemRead", "FaultRead"} <= names
    assert not names & {"HTTPValidationError", "ValidationError"}


def test_each_call_lists_the_refusals_of_its_kind(document):
    for path, method, call in calls(document):
        wanted = {"400", "403"}
        wanted |= set() if path.startswith(OPEN_PREFIXES) else {"401"}
        wanted |= {"408", "413"} if method in ("post", "patch", "delete") else set()
        wanted |= {"404"} if "{" in path else set()
        wanted |= {"422"} if path.startswith("/v1/") else set()
        wanted |= {"503"} if path != "/healthz" else set()
        assert wanted <= set(call["responses"]), (path, method)


def test_downloads_have_their_type_and_ranges(document):
    for path, media_type in DOWNLOADS.items():
        for method in ("get", "head"):
            responses = document["paths"][path][method]["responses"]
            assert {"200", "206", "416"} <= set(responses)
            assert list(responses["200"]["content"]) == [media_type]


@pytest.mark.parametrize("path", CONTENT)
def test_an_answer_that_is_not_json_has_its_media_type(document, path):
    assert set(document["paths"][path]["get"]["responses"]["200"]["content"]) == CONTENT[path]


def test_operations_have_names_of_their_own(document):
    names = [call["operationId"] for _, _, call in calls(document)]
    assert len(names) == len(set(names))


def test_the_key_is_a_scheme_and_required_where_it_is_set(settings, document):
    assert document["components"]["securitySchemes"]["key"]["scheme"] == "bearer"
    locked = create_app(with_keys(settings, KEYS[0])).openapi()
    for path, _, call in calls(locked):
        is_open = path.startswith(OPEN_PREFIXES)
        assert call["security"] == ([] if is_open else [{"key": []}]), path
    for path, _, call in calls(document):
        is_open = path.startswith(OPEN_PREFIXES)
        assert call["security"] == ([] if is_open else [{}, {"key": []}]), path
