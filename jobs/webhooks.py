"""Webhooks: their rows, and the outbox of the messages that are sent to them.

The transaction that records an event also records the messages about it, so that no message is
lost and none is sent about an event that was rolled back. The header `webhook-id` is a hash of the
event. By this id a receiver recognises a message that it has already received, even after a crash
or a redelivery.
"""

import base64
import hashlib
import json
import secrets
from collections.abc import Sequence
from datetime import datetime
from typing import Literal, get_args

from sqlmodel import Session, col, delete, func, select

from core.events.types import (
    CheckpointData,
    JournalEvent,
    StatusData,
    WarningData,
    now,
)
from jobs.database import insert
from jobs.errors import DeliveryNotFound, WebhookNotFound, WebhooksFull
from jobs.projection import finite
from jobs.tables import Job, Json, Webhook, WebhookDelivery, new_id

WebhookEvent = Literal[
    "job.succeeded", "job.failed", "job.cancelled", "job.milestone", "job.alert", "webhook.test"
]
EVENTS: tuple[WebhookEvent, ...] = get_args(WebhookEvent)
DeliveryStatus = Literal["undelivered", "pending", "delivered", "failed"]
"""A delivery is `undelivered` if it is pending or failed."""
SECRET_BYTES = 32
MAX_WEBHOOKS = 50
PAGE = 100
NOTED = ("status", "checkpoint", "warning")
"""Types of events that can cause a message."""


def create_webhook(session: Session, url: str, events: Sequence[WebhookEvent]) -> Webhook:
    """Creates a webhook with a new secret.

    Raises:
        WebhooksFull: If there are already `MAX_WEBHOOKS` webhooks.
    """
    if session.exec(select(func.count()).select_from(Webhook)).one() >= MAX_WEBHOOKS:
        raise WebhooksFull(MAX_WEBHOOKS)
    secret = "whsec_" + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()
    webhook = Webhook(url=url, secret=secret, events=list(events), created_at=now())
    session.add(webhook)
    session.flush()
    return webhook


def list_webhooks(session: Session) -> list[Webhook]:
    """All webhooks, oldest first."""
    return list(session.exec(select(Webhook).order_by(col(Webhook.created_at), col(Webhook.id))))


def get_webhook(session: Session, webhook_id: str) -> Webhook:
    """The webhook of that id.

    Raises:
        WebhookNotFound: If there is no such webhook.
    """
    webhook = session.exec(select(Webhook).where(Webhook.id == webhook_id)).one_or_none()
    if webhook is None:
        raise WebhookNotFound(webhook_id)
    return webhook


def delete_webhook(session: Session, webhook_id: str) -> None:
    """Removes a webhook with its deliveries.

    Raises:
        WebhookNotFound: If there is no such webhook.
    """
    if not session.exec(delete(Webhook).where(col(Webhook.id) == webhook_id)).rowcount:
        raise WebhookNotFound(webhook_id)


def list_deliveries(
    session: Session, webhook_id: str, *, status: DeliveryStatus | None, limit: int = PAGE
) -> list[WebhookDelivery]:
    """The deliveries of a webhook, newest first.

    Raises:
        WebhookNotFound: If there is no such webhook.
    """
    get_webhook(session, webhook_id)
    query = (
        select(WebhookDelivery)
        .where(WebhookDelivery.webhook_id == webhook_id)
        .order_by(col(WebhookDelivery.created_at).desc(), col(WebhookDelivery.id))
        .limit(limit)
    )
    if status is not None:
        statuses = ("pending", "failed") if status == "undelivered" else (status,)
        query = query.where(col(WebhookDelivery.status).in_(statuses))
    return list(session.exec(query))


def redeliver(session: Session, webhook_id: str, delivery_id: str) -> WebhookDelivery:
    """Makes a delivery due now and allows it all attempts again, even if it was delivered.

    Also enables the webhook if it was disabled.

    Raises:
        WebhookNotFound, DeliveryNotFound: If there is no such webhook or delivery.
    """
    webhook = get_webhook(session, webhook_id)
    query = select(WebhookDelivery).where(
        WebhookDelivery.id == delivery_id, WebhookDelivery.webhook_id == webhook_id
    )
    delivery = session.exec(query).one_or_none()
    if delivery is None:
        raise DeliveryNotFound(delivery_id)
    webhook.disabled_at = None
    delivery.status, delivery.attempts, delivery.next_attempt_at = "pending", 0, now()
    session.flush()
    return delivery


def add_test_message(session: Session, webhook_id: str) -> WebhookDelivery:
    """Puts a message of type `webhook.test` into the outbox, and enables the webhook.

    Raises:
        WebhookNotFound: If there is no such webhook.
    """
    webhook, moment = get_webhook(session, webhook_id), now()
    webhook.disabled_at = None
    kind: WebhookEvent = "webhook.test"
    delivery = WebhookDelivery(
        webhook_id=webhook_id,
        message_id=f"msg_{new_id()}",
        event=kind,
        body=_body(kind, moment, {"webhook_id": webhook_id}),
        created_at=moment,
        next_attempt_at=moment,
    )
    session.add(delivery)
    session.flush()
    return delivery


def queue_messages(session: Session, job: Job, events: Sequence[JournalEvent]) -> None:
    """Puts the messages about events of a job into the outbox, in the caller's transaction.

    A disabled webhook gets none: nothing is sent to it, so its messages would only accumulate.
    """
    noted = [(event, kind) for event in events if (kind := _kind(event)) is not None]
    if not noted:
        return
    webhooks = [each for each in list_webhooks(session) if each.disabled_at is None]
    moment = now()
    rows = [
        WebhookDelivery(
            webhook_id=webhook.id,
            message_id=_message_id(job.id, event),
            event=kind,
            body=_body(kind, event.time, _about(job, event)),
            created_at=moment,
            next_attempt_at=moment,
        ).model_dump()
        for event, kind in noted
        for webhook in webhooks
        if kind in webhook.events
    ]
    if rows:
        # After a power failure events are recorded again. Then their messages may already exist.
        session.execute(insert(session, WebhookDelivery).on_conflict_do_nothing(), rows)


def _kind(event: JournalEvent) -> WebhookEvent | None:
    if event.type not in NOTED:
        return None
    match event.payload():
        case StatusData(status="succeeded"):
            return "job.succeeded"
        case StatusData(status="failed"):
            return "job.failed"
        case StatusData(status="cancelled"):
            return "job.cancelled"
        case CheckpointData(kind="milestone", action="saved"):
            return "job.milestone"
        case WarningData(level="error"):
            return "job.alert"
    return None


def _message_id(job_id: str, event: JournalEvent) -> str:
    content = json.dumps([job_id, event.model_dump(mode="json")], sort_keys=True)
    return f"msg_{hashlib.sha256(content.encode()).hexdigest()[:40]}"


def _about(job: Job, event: JournalEvent) -> Json:
    error = None
    if job.error_code is not None:
        error = {"code": job.error_code, "message": job.error_message, "hint": job.error_hint}
    return {
        "job_id": job.id,
        "job_name": job.name,
        "status": job.status,
        "attempt": job.attempt,
        "error": error,
        "event": {"type": event.type, "data": finite(event.data)},
    }


def _body(kind: WebhookEvent, time: datetime, data: Json) -> str:
    """The JSON text of a message, in ASCII, so that signing and sending use the same bytes."""
    return json.dumps({"type": kind, "timestamp": time.isoformat(), "data": data})
