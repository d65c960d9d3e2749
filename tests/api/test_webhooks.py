"""Webhooks: the message about each event is delivered or listed as undelivered.

Messages are signed, and are sent only to allowed addresses.
"""

import asyncio
import contextlib
import json
import socket
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_network

import pytest
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from api.webhook_sender import TOTAL_SECONDS, send
from api.webhook_thread import Deliverer, WebhookThread
from core.events.types import CheckpointData, WarningData, event_of, now
from jobs.attempts import record_events
from jobs.outbox import (
    KEPT_DAYS,
    LEASE_SECONDS,
    MAX_ATTEMPTS,
    RETRY_SECONDS,
    Outcome,
    claim_due,
    record_outcome,
)
from jobs.settings import Settings
from jobs.tables import Webhook as Row
from tests.waiting import wait_for

LOOPBACK = (ip_network("127.0.0.0/8"),)
DAY = 86_400


class Receiver:
    """A receiver of webhooks on loopback. It can be down, and can answer with any status."""

    def __init__(self) -> None:
        receiver = self
        self.messages: list[tuple[dict[str, str], bytes]] = []
        self.status, self.headers = 204, {}

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.messages.append((dict(self.headers), body))
                self.send_response(receiver.status)
                for name, value in receiver.headers.items():
                    self.send_header(name, value)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._handler, self._port = Handler, 0
        self.come_back()
        self.url = f"http://127.0.0.1:{self.server.server_port}/hooks"

    def come_back(self) -> None:
        self.server = ThreadingHTTPServer(("127.0.0.1", self._port), self._handler)
        self._port = self.server.server_port
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def go_down(self) -> None:
        self.server.shutdown()
        self.server.server_close()

    def ids(self) -> list[str]:
        return [headers["webhook-id"] for headers, _ in self.messages]


class Clock:
    """The real time, plus the time that the test has added."""

    def __init__(self) -> None:
        self.offset = timedelta(0)

    def __call__(self):
        return now() + self.offset

    def advance(self, seconds: float) -> None:
        self.offset += timedelta(seconds=seconds)


@pytest.fixture
def receiver():
    made = Receiver()
    yield made
    made.go_down()


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Keeps the API's thread idle during a test, because the tests deliver the messages."""
    return settings.model_copy(update={"webhook_networks": "127.0.0.0/8", "sweep_seconds": 3600.0})


@pytest.fixture
def add(client, receiver):
    def add(**fields) -> dict:
        answer = client.post("/v1/webhooks", json={"url": receiver.url} | fields)
        assert answer.status_code == 201, answer.text
        return answer.json()

    return add


@pytest.fixture
def deliveries(client):
    def read(webhook: dict, status: str = "") -> list[dict]:
        query = {"status": status} if status else {}
        path = f"/v1/webhooks/{webhook['id']}/deliveries"
        return client.get(path, params=query).json()["data"]

    return read


def run_job(world, status: str) -> str:
    """A job with a milestone, an alert, and a warning that is not an alert."""
    job_id = world.running()
    milestone = CheckpointData(
        action="saved", name="chck_1M", kind="milestone", step=1, tokens_seen=1, words_seen=1
    )
    alert = WarningData(code="diverged", message="the loss is 11", level="error")
    world.record(job_id, milestone, alert, WarningData(code="plateau", message="flat"))
    world.end(job_id, status)
    return job_id


def test_each_event_survives_a_receiver_that_is_down_for_an_hour(
    add, world, database, receiver, deliveries, monkeypatch
):
    clock = Clock()
    webhook = add()
    job_id = run_job(world, "failed")
    receiver.go_down()
    deliverer = Deliverer(database, LOOPBACK, clock=clock)
    assert sum(passes(deliverer, clock, minutes=60)) == 4 * 3  # at 0 s, 5 s, 5 min and 35 min
    assert {each["last_error"].split(":")[0] for each in deliveries(webhook)} == {"ConnectError"}
    assert len(deliveries(webhook, "undelivered")) == 3

    receiver.come_back()
    assert sum(passes(deliverer, clock, minutes=120)) == 3
    assert deliveries(webhook, "undelivered") == []

    class Simulated(datetime):
        @classmethod
        def now(cls, *, tz=None):  # noqa: ARG003 - always UTC
            return clock()

    for headers, body in receiver.messages:
        sent_at = datetime.fromtimestamp(int(headers["webhook-timestamp"]), UTC)
        clock.offset = sent_at - now()
        monkeypatch.setattr("standardwebhooks.webhooks.datetime", Simulated)
        Webhook(webhook["secret"]).verify(body, headers)
    found = [json.loads(body) for _, body in receiver.messages]
    assert sorted(each["type"] for each in found) == ["job.alert", "job.failed", "job.milestone"]
    assert {each["data"]["job_id"] for each in found} == {job_id}
    assert len(set(receiver.ids())) == 3


def passes(deliverer: Deliverer, clock: Clock, *, minutes: int) -> Iterator[int]:
    """The number of attempts in each simulated minute."""
    for _ in range(minutes):
        yield deliverer.deliver_due()
        clock.advance(60)


def test_a_message_that_the_receiver_lost_is_sent_again_with_its_id(
    add, world, database, receiver, deliveries, client
):
    webhook = add(events=["job.succeeded"])
    run_job(world, "succeeded")
    deliverer = Deliverer(database, LOOPBACK)
    assert (deliverer.deliver_due(), deliverer.deliver_due()) == (1, 0)
    ((headers, body),) = receiver.messages
    receiver.messages.clear()  # the receiver answered 200 but did not store the message
    (delivered,) = deliveries(webhook, "delivered")
    path = f"/v1/webhooks/{webhook['id']}/deliveries/{delivered['id']}/redeliver"
    assert client.post(path).json()["status"] == "pending"
    assert deliverer.deliver_due() == 1
    ((again, same_body),) = receiver.messages
    assert (again["webhook-id"], same_body) == (headers["webhook-id"], body)
    verifier = Webhook(webhook["secret"])
    verifier.verify(same_body, again)
    # A stranger who sends the old message again cannot change its time.
    late = again | {"webhook-timestamp": str(int(again["webhook-timestamp"]) - 3600)}
    with pytest.raises(WebhookVerificationError, match="too old"):
        verifier.verify(same_body, late)
    renewed = headers | {"webhook-timestamp": str(int(again["webhook-timestamp"]) + 1)}
    with pytest.raises(WebhookVerificationError, match="No matching"):
        verifier.verify(body, renewed)


def test_the_last_attempt_fails_the_delivery_and_410_disables_the_webhook(
    add, world, database, receiver, deliveries, client
):
    webhook, clock = add(events=["job.cancelled"]), Clock()
    run_job(world, "cancelled")
    receiver.status = 500
    deliverer = Deliverer(database, LOOPBACK, clock=clock)
    for _ in range(MAX_ATTEMPTS + 2):  # the last two send nothing
        deliverer.deliver_due()
        clock.advance(2 * DAY)
    assert len(receiver.messages) == MAX_ATTEMPTS == len(RETRY_SECONDS) + 1
    assert len(set(receiver.ids())) == 1
    (failed,) = deliveries(webhook, "failed")
    assert (failed["last_status"], failed["next_attempt_at"]) == (500, None)
    receiver.status = 410
    client.post(f"/v1/webhooks/{webhook['id']}/test")
    deliverer.deliver_due()
    clock.advance(DAY)
    assert deliverer.deliver_due() == 0
    assert client.get(f"/v1/webhooks/{webhook['id']}").json()["disabled_at"] is not None
    assert len(deliveries(webhook, "undelivered")) == 2


def test_a_redirect_is_not_followed_and_retry_after_is_kept(
    add, database, receiver, deliveries, client
):
    webhook, clock = add(), Clock()
    receiver.status, receiver.headers = 307, {"Location": receiver.url, "Retry-After": "7200"}
    client.post(f"/v1/webhooks/{webhook['id']}/test")
    deliverer = Deliverer(database, LOOPBACK, clock=clock)
    assert deliverer.deliver_due() == 1
    clock.advance(3600)
    assert deliverer.deliver_due() == 0
    clock.advance(3601)
    assert deliverer.deliver_due() == 1
    assert len(receiver.messages) == 2
    assert deliveries(webhook)[0]["last_error"] == "the receiver answered 307"


def test_nothing_is_sent_to_loopback_unless_a_setting_allows_it(
    add, database, receiver, deliveries, client
):
    """This also holds for host names: the address is checked after the name is resolved."""
    by_name = add(url=receiver.url.replace("127.0.0.1", "localhost"))
    for webhook in (add(), by_name):
        client.post(f"/v1/webhooks/{webhook['id']}/test")
        assert Deliverer(database, ()).deliver_due() == 1
        assert "is not a public address" in deliveries(webhook)[0]["last_error"]
    assert receiver.messages == []


def test_without_the_package_that_signs_no_webhook_is_made(client, monkeypatch):
    monkeypatch.setitem(sys.modules, "standardwebhooks", None)  # as if it were not installed
    answer = client.post("/v1/webhooks", json={"url": "https://example.org"})
    assert (answer.status_code, answer.json()["code"]) == (501, "webhooks_unavailable")
    assert "babylm-service[webhooks]" in answer.json()["detail"]


def test_the_secret_is_shown_once_and_a_deleted_webhook_takes_its_deliveries(
    add, world, client, deliveries
):
    webhook = add()
    assert webhook["secret"].startswith("whsec_")
    assert "secret" not in client.get("/v1/webhooks").json()["data"][0]
    run_job(world, "succeeded")
    assert len(deliveries(webhook)) == 3
    assert client.delete(f"/v1/webhooks/{webhook['id']}").status_code == 204
    assert client.get(f"/v1/webhooks/{webhook['id']}/deliveries").status_code == 404


def test_a_message_is_in_the_outbox_exactly_if_its_event_is_recorded(
    add, world, database, deliveries
):
    webhook = add(events=["job.alert"])
    job_id = world.running()
    alert = event_of(WarningData(code="diverged", message="x", level="error"))
    for is_undone in (True, False, False):
        try:
            with database.write() as session:
                record_events(session, job_id, 1, [alert], journal_offset=0)
                if is_undone:
                    raise RuntimeError("undone")
        except RuntimeError:
            assert deliveries(webhook) == []
    # The same line of the journal is copied again after a power failure. This adds no message.
    assert len(deliveries(webhook)) == 1


def test_two_senders_never_make_the_same_attempt(add, world, database):
    add()
    run_job(world, "succeeded")
    moment = now()
    with database.write() as session:
        assert len(claim_due(session, moment, per_webhook=9)) == 3
    with database.write() as session:
        assert claim_due(session, moment, per_webhook=9) == []
    assert LEASE_SECONDS > 2 * TOTAL_SECONDS
    still_sending = moment + timedelta(seconds=TOTAL_SECONDS)
    with database.write() as session:
        assert claim_due(session, still_sending, per_webhook=9) == []
    later = moment + timedelta(seconds=LEASE_SECONDS)
    with database.write() as session:  # the first sender was killed; its claim expires
        (claim, *_) = claims = claim_due(session, later, per_webhook=9)
        assert {each.attempt for each in claims} == {2}
        record_outcome(session, claim, Outcome(500, "the receiver answered 500"), later)
    for seconds, is_due in ((LEASE_SECONDS, False), (RETRY_SECONDS[1] * 1.2, True)):
        with database.write() as session:  # repeated later after a failure than after a kill
            at = later + timedelta(seconds=seconds)
            due = claim_due(session, at, per_webhook=9)
            assert len(due) == 2 + is_due
            assert (claim.delivery_id in {each.delivery_id for each in due}) == is_due


def test_a_failed_message_is_kept_as_long_as_a_delivered_one(
    add, database, receiver, deliveries, client
):
    webhook, clock = add(), Clock()
    client.post(f"/v1/webhooks/{webhook['id']}/test")
    receiver.status = 500
    deliverer = Deliverer(database, LOOPBACK, clock=clock)
    for _ in range(MAX_ATTEMPTS):
        deliverer.deliver_due()
        clock.advance(2 * DAY)
    assert len(deliveries(webhook, "failed")) == 1
    client.post(f"/v1/webhooks/{webhook['id']}/test")
    clock.advance((KEPT_DAYS - 2 * MAX_ATTEMPTS + 1) * DAY)
    receiver.go_down()
    deliverer.deliver_due()
    receiver.come_back()
    (left,) = deliveries(webhook)  # the other delivery has failed, and was removed
    assert (left["status"], left["attempts"]) == ("pending", 1)


def test_a_disabled_webhook_gets_no_messages_about_later_events(
    add, world, database, receiver, deliveries, client
):
    webhook, other = add(), add(events=["job.succeeded"])
    client.post(f"/v1/webhooks/{webhook['id']}/test")
    receiver.status = 410
    assert Deliverer(database, LOOPBACK).deliver_due() == 1
    run_job(world, "succeeded")
    assert [each["event"] for each in deliveries(webhook)] == ["webhook.test"]
    assert [each["event"] for each in deliveries(other)] == ["job.succeeded"]


def test_an_address_that_does_not_answer_leaves_time_for_the_next(
    add, database, receiver, client, monkeypatch
):
    """A name with two addresses, one of which drops packets, like a host that is off."""
    port = receiver.server.server_port
    with socket.socket() as full, contextlib.ExitStack() as stack:
        full.bind(("127.0.0.2", port))
        full.listen(0)
        for _ in range(2):  # Linux drops further connections to a full backlog
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(("127.0.0.2", port))
        addresses = ("127.0.0.2", "127.0.0.1")
        found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (each, port)) for each in addresses]
        webhook = add()
        client.post(f"/v1/webhooks/{webhook['id']}/test")
        with database.write() as session:
            (claim,) = claim_due(session, now(), per_webhook=1)
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
        outcome = asyncio.run(send(claim, LOOPBACK, now(), connect_seconds=1.0))
    assert (outcome.status, outcome.error) == (204, None)


def test_an_unexpected_error_of_one_message_stops_no_other(
    add, database, receiver, deliveries, client
):
    broken, whole = add(), add()
    for webhook in (broken, whole):
        client.post(f"/v1/webhooks/{webhook['id']}/test")
    with database.write() as session:
        session.get(Row, broken["id"]).secret = "whsec_?"  # damaged: nothing can be signed with it
    assert Deliverer(database, LOOPBACK).deliver_due() == 2
    assert deliveries(whole)[0]["status"] == "delivered"
    (left,) = deliveries(broken)
    assert (left["status"], left["attempts"], bool(left["last_error"])) == ("pending", 1, True)


def test_the_thread_continues_after_an_unexpected_error(add, database, receiver, client):
    webhook, times = add(), iter(range(2))
    client.post(f"/v1/webhooks/{webhook['id']}/test")

    def clock() -> datetime:
        if next(times, None) == 1:  # call 1 is in the first pass, call 0 in the constructor
            raise RuntimeError("no time")
        return now()

    thread = WebhookThread(Deliverer(database, LOOPBACK, clock=clock), seconds=0.01)
    thread.start()
    try:
        wait_for(lambda: receiver.messages, what="the message was sent in a later pass")
    finally:
        thread.stop()
