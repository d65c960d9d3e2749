"""The outbox of webhooks: finds due deliveries, claims them, and records the outcome of attempts.

A claim counts the attempt and makes the delivery due again after `LEASE_SECONDS`, before anything
is sent. So if the sender is killed, another sender sends the message after the lease. A failed
attempt sets the time of the next attempt.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlmodel import Session, col, delete, select, update
from sqlmodel.sql.expression import SelectOfScalar

from jobs.tables import Webhook, WebhookDelivery

RETRY_SECONDS = (5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400)
"""Seconds of delay after each attempt, as in the specification of Standard Webhooks. The attempt
after the last delay is the last one."""
MAX_ATTEMPTS = len(RETRY_SECONDS) + 1
LEASE_SECONDS = 60.0
"""Seconds after a claim in which no other sender makes an attempt. An attempt takes much less: at
most `api.webhook_sender.TOTAL_SECONDS`."""
JITTER = 0.1
"""Maximum fraction of a delay that is added to it, so that deliveries are not all sent at once."""
MAX_RETRY_AFTER_SECONDS = 86_400
GONE = 410
KEPT_DAYS = 30
"""Number of days for which a delivered or failed message is kept, counted from its creation."""


@dataclass(frozen=True)
class Claim:
    """A delivery that this sender has claimed."""

    delivery_id: str
    webhook_id: str
    attempt: int
    url: str
    secret: str
    message_id: str
    body: str


@dataclass(frozen=True)
class Outcome:
    """The outcome of an attempt: an HTTP status, or the reason why there is none."""

    status: int | None
    error: str | None
    retry_after_seconds: int = 0

    @property
    def is_delivered(self) -> bool:
        """True for the statuses from 200 to 299."""
        return self.status is not None and 200 <= self.status < 300


def has_due(session: Session, moment: datetime) -> bool:
    """Whether a delivery of a webhook that is not disabled is due."""
    return session.exec(_due(moment).limit(1)).first() is not None


def claim_due(session: Session, moment: datetime, *, per_webhook: int) -> list[Claim]:
    """Claims up to `per_webhook` due deliveries of each webhook, the oldest first.

    Because of the limit the backlog of one webhook does not delay the messages of another.
    """
    enabled = session.exec(select(Webhook).where(col(Webhook.disabled_at).is_(None))).all()
    claims = []
    for webhook in enabled:
        mine = _due(moment).where(WebhookDelivery.webhook_id == webhook.id).limit(per_webhook)
        for delivery in session.exec(mine).all():
            if _claim(session, delivery, moment):
                claims.append(
                    Claim(
                        delivery_id=delivery.id,
                        webhook_id=webhook.id,
                        attempt=delivery.attempts + 1,
                        url=webhook.url,
                        secret=webhook.secret,
                        message_id=delivery.message_id,
                        body=delivery.body,
                    )
                )
    return claims


def record_outcome(session: Session, claim: Claim, outcome: Outcome, moment: datetime) -> None:
    """Records an attempt, unless a newer attempt or a redelivery has begun meanwhile."""
    values: dict[str, object] = {
        "last_attempt_at": moment,
        "last_status": outcome.status,
        "last_error": outcome.error,
    }
    if outcome.is_delivered:
        values |= {"status": "delivered", "delivered_at": moment}
    elif claim.attempt >= MAX_ATTEMPTS:
        values["status"] = "failed"
    else:
        seconds = min(outcome.retry_after_seconds, MAX_RETRY_AFTER_SECONDS)
        planned = moment + delay(claim.delivery_id, claim.attempt)
        values["next_attempt_at"] = max(planned, moment + timedelta(seconds=seconds))
    session.exec(
        update(WebhookDelivery)
        .where(
            col(WebhookDelivery.id) == claim.delivery_id,
            col(WebhookDelivery.attempts) == claim.attempt,
        )
        .values(**values)
    )
    if outcome.status == GONE:
        session.exec(
            update(Webhook).where(col(Webhook.id) == claim.webhook_id).values(disabled_at=moment)
        )


def prune_finished(session: Session, moment: datetime) -> None:
    """Removes delivered and failed messages that were created more than `KEPT_DAYS` days ago."""
    session.exec(
        delete(WebhookDelivery).where(
            col(WebhookDelivery.status) != "pending",
            col(WebhookDelivery.created_at) < moment - timedelta(days=KEPT_DAYS),
        )
    )


def delay(delivery_id: str, attempt: int) -> timedelta:
    """Time from attempt number `attempt` (from 1) to the next one; the id determines the jitter."""
    seconds = RETRY_SECONDS[min(attempt, len(RETRY_SECONDS)) - 1]
    return timedelta(seconds=seconds * (1.0 + JITTER * int(delivery_id[:4], 16) / 0xFFFF))


def _due(moment: datetime) -> SelectOfScalar[WebhookDelivery]:
    return (
        select(WebhookDelivery)
        .join(Webhook, col(Webhook.id) == col(WebhookDelivery.webhook_id))
        .where(
            WebhookDelivery.status == "pending",
            WebhookDelivery.next_attempt_at <= moment,
            col(Webhook.disabled_at).is_(None),
        )
        .order_by(col(WebhookDelivery.next_attempt_at), col(WebhookDelivery.created_at))
    )


def _claim(session: Session, delivery: WebhookDelivery, moment: datetime) -> bool:
    """Counts the attempt; False if another sender was faster or if no attempt is left."""
    # True if a sender died during the last attempt. It is unknown whether the message arrived.
    is_exhausted = delivery.attempts >= MAX_ATTEMPTS
    values: dict[str, object] = {
        "attempts": delivery.attempts + 1,
        "next_attempt_at": moment + timedelta(seconds=LEASE_SECONDS),
    }
    if is_exhausted:
        values = {"status": "failed"}
    done = session.exec(
        update(WebhookDelivery)
        .where(
            col(WebhookDelivery.id) == delivery.id,
            col(WebhookDelivery.attempts) == delivery.attempts,
            col(WebhookDelivery.status) == "pending",
        )
        .values(**values),
        execution_options={"synchronize_session": False},
    )
    return bool(done.rowcount) and not is_exhausted
