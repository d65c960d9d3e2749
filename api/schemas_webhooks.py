"""Bodies of webhooks and their deliveries."""

from datetime import datetime
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from api.schemas import Out
from jobs.tables import Webhook, WebhookDelivery
from jobs.webhooks import EVENTS, WebhookEvent

MAX_URL = 2000


def _receiver(url: str) -> str:
    """The URL, if a message can be sent to it."""
    if not (url.isascii() and url.isprintable()) or " " in url:
        raise ValueError("must be ASCII without spaces; encode other characters")
    try:
        parts = urlsplit(url)
        has_address = bool(parts.hostname) and parts.port != 0
    except ValueError as error:
        raise ValueError(f"is not a URL: {error}") from error
    if parts.scheme not in ("http", "https") or not has_address:
        raise ValueError("must be a URL such as https://example.org/hooks")
    if parts.username is not None or parts.password is not None or parts.fragment:
        raise ValueError("must not contain a user name, a password or a fragment")
    return url


class WebhookBody(BaseModel):
    """A new webhook."""

    model_config = ConfigDict(extra="forbid", strict=True)

    url: Annotated[str, AfterValidator(_receiver)] = Field(
        min_length=1,
        max_length=MAX_URL,
        description="https address of the receiver. http is allowed only for receivers in the "
        "networks of BABYLM_WEBHOOK_NETWORKS.",
    )
    events: list[WebhookEvent] = Field(
        default=[*EVENTS],
        min_length=1,
        max_length=len(EVENTS),
        description="Types of the messages to send.",
    )


class WebhookRead(Out):
    """A webhook, without its secret, which only the answer to its creation contains."""

    id: str
    url: str
    events: list[str]
    created_at: datetime
    disabled_at: datetime | None
    """Time when the receiver answered 410, which disabled the webhook; else null. A test or a
    redelivery enables the webhook again."""


class WebhookCreated(WebhookRead):
    """A new webhook with the secret that verifies its messages."""

    secret: str


class WebhookPage(Out):
    """All webhooks."""

    data: list[WebhookRead]


class DeliveryRead(Out):
    """A message, and the outcome of sending it."""

    id: str
    message_id: str
    """Value of the header `webhook-id`, the same for all attempts to send the message."""
    event: str
    status: str
    """`pending`, `delivered`, or, after the last attempt, `failed`."""
    attempts: int
    created_at: datetime
    next_attempt_at: datetime | None
    last_attempt_at: datetime | None
    delivered_at: datetime | None
    last_status: int | None
    """HTTP status of the receiver's last answer."""
    last_error: str | None


class DeliveryPage(Out):
    """Deliveries of a webhook, newest first."""

    data: list[DeliveryRead]


def read_webhook(webhook: Webhook) -> WebhookRead:
    """The response body for the row of a webhook."""
    return WebhookRead(**webhook.model_dump(exclude={"secret"}))


def read_delivery(delivery: WebhookDelivery) -> DeliveryRead:
    """The response body for the row of a delivery."""
    values = delivery.model_dump(exclude={"webhook_id", "body"})
    if delivery.status != "pending":
        values["next_attempt_at"] = None
    return DeliveryRead(**values)
