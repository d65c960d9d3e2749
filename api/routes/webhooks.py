"""Routes for webhooks, which are signed messages about jobs, and for their deliveries."""

from typing import Annotated

from fastapi import Path, Query, Response

from api.deps import InContext, Reading
from api.description import problems
from api.errors import Problem
from api.routing import ThreadRouter
from api.schemas_webhooks import (
    DeliveryPage,
    DeliveryRead,
    WebhookBody,
    WebhookCreated,
    WebhookPage,
    WebhookRead,
    read_delivery,
    read_webhook,
)
from api.webhook_sender import can_sign
from jobs import webhooks
from jobs.webhooks import DeliveryStatus

router = ThreadRouter("webhooks")

ID = r"^[0-9a-f]{32}$"
WebhookId = Annotated[str, Path(pattern=ID, description="Id of a webhook.")]
DeliveryId = Annotated[str, Path(pattern=ID, description="Id of a delivery.")]


@router.post("/webhooks", status_code=201, responses=problems(409, 501))
def create_webhook(body: WebhookBody, context: InContext) -> WebhookCreated:
    """Adds a webhook; the answer contains its secret, which is not sent again.

    Messages are signed as Standard Webhooks describes. By default they are sent when a job
    succeeds, fails or is cancelled, at each milestone checkpoint, and for each warning of level
    `error`; `events` selects some of these types.
    """
    if not can_sign():
        detail = "webhooks need a package: pip install 'babylm-service[webhooks]'"
        raise Problem(501, "webhooks_unavailable", detail)
    if body.url.startswith("http:") and not context.settings.allowed_networks:
        message = (
            "http is allowed only for networks in BABYLM_WEBHOOK_NETWORKS, which is empty; use "
            "https"
        )
        fields = [("url", message, body.url)]
        raise Problem(422, "input_invalid", f"url: {message}", fields=fields)
    with context.database.write() as session:
        webhook = webhooks.create_webhook(session, body.url, list(dict.fromkeys(body.events)))
        return WebhookCreated(**read_webhook(webhook).model_dump(), secret=webhook.secret)


@router.get("/webhooks")
def list_webhooks(session: Reading) -> WebhookPage:
    """All webhooks, oldest first."""
    return WebhookPage(data=[read_webhook(each) for each in webhooks.list_webhooks(session)])


@router.get("/webhooks/{webhook}")
def show_webhook(webhook: WebhookId, session: Reading) -> WebhookRead:
    """One webhook."""
    return read_webhook(webhooks.get_webhook(session, webhook))


@router.delete("/webhooks/{webhook}", status_code=204)
def delete_webhook(webhook: WebhookId, context: InContext) -> Response:
    """Removes a webhook with all its deliveries, including those that are pending."""
    with context.database.write() as session:
        webhooks.delete_webhook(session, webhook)
    return Response(status_code=204)


@router.post("/webhooks/{webhook}/test", status_code=202)
def send_test(webhook: WebhookId, context: InContext) -> DeliveryRead:
    """Sends a message of type `webhook.test`; the list of deliveries shows the outcome."""
    with context.database.write() as session:
        return read_delivery(webhooks.add_test_message(session, webhook))


@router.get("/webhooks/{webhook}/deliveries")
def list_deliveries(
    webhook: WebhookId,
    session: Reading,
    status: DeliveryStatus | None = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = webhooks.PAGE,
) -> DeliveryPage:
    """The newest deliveries. `status=undelivered` selects those that are pending or have failed."""
    found = webhooks.list_deliveries(session, webhook, status=status, limit=limit)
    return DeliveryPage(data=[read_delivery(each) for each in found])


@router.post("/webhooks/{webhook}/deliveries/{delivery}/redeliver", status_code=202)
def redeliver(webhook: WebhookId, delivery: DeliveryId, context: InContext) -> DeliveryRead:
    """Sends a message again with the same `webhook-id`, even if it was delivered."""
    with context.database.write() as session:
        return read_delivery(webhooks.redeliver(session, webhook, delivery))
