"""`babylm webhooks` on a stub of the service."""

import pytest

from babylm.errors import BAD_USAGE
from tests.babylm.conftest import error_of
from tests.babylm.stub import Answer, problem

HOOK = {
    "id": "a1",
    "url": "https://example.org/hooks",
    "events": ["job.failed"],
    "created_at": "2026-11-24T05:00:00Z",
    "disabled_at": None,
}
DELIVERY = {
    "id": "d1",
    "event": "job.failed",
    "status": "pending",
    "attempts": 2,
    "created_at": "2026-11-24T05:00:00Z",
    "last_error": "no answer within 15 s",
}


def test_a_webhook_is_added_and_its_secret_is_printed(run, stub):
    stub.routes["POST /v1/webhooks"] = Answer(201, HOOK | {"secret": "whsec_abc"})
    made = run("webhooks", "add", HOOK["url"], "--event", "job.failed", "--url", stub.url)
    assert "whsec_abc" in made.stdout
    assert stub.requests[0].body == {"url": HOOK["url"], "events": ["job.failed"]}
    stub.routes["GET /v1/webhooks"] = Answer(200, {"data": [HOOK]})
    assert "job.failed" in run("webhooks", "--url", stub.url).stdout


def test_undelivered_messages_are_listed_and_sent_again(run, stub):
    stub.routes["GET /v1/webhooks/a1/deliveries"] = Answer(200, {"data": [DELIVERY]})
    stub.routes["POST /v1/webhooks/a1/deliveries/d1/redeliver"] = Answer(202, DELIVERY)
    listed = run("webhooks", "deliveries", "a1", "--status", "undelivered", "--url", stub.url)
    assert "no answer within 15 s" in listed.stdout
    sent = run("webhooks", "redeliver", "a1", "--undelivered", "--url", stub.url)
    assert sent.stdout == "1 messages are sent again\n"
    assert error_of(run("webhooks", "redeliver", "a1", "--url", stub.url)).status == BAD_USAGE


@pytest.mark.parametrize("words", ["delete", "test", "deliveries", "redeliver --undelivered"])
def test_an_unknown_webhook_is_reported_as_such(run, stub, words):
    refusal = problem(422, "not valid")
    stub.routes["GET /v1/webhooks"] = Answer(200, {"data": [HOOK]})
    for name in ("a1", "nope"):
        path = f"/v1/webhooks/{name}"
        for route in (f"DELETE {path}", f"POST {path}/test", f"GET {path}/deliveries"):
            stub.routes[route] = refusal
    command, *options = words.split()
    error = error_of(run("webhooks", command, "nope", *options, "--url", stub.url))
    assert (error.message, error.code) == ("there is no webhook nope", "webhook_not_found")
    assert "`babylm webhooks` lists" in error.hint
    refused = error_of(run("webhooks", command, "a1", *options, "--url", stub.url))
    assert "not valid (422)" in refused.message
