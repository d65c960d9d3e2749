"""Commands about webhooks: list, add, delete, test, deliveries, redeliver."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from babylm.client.paths import path_part
from babylm.options import AsJson, Url, open_client

if TYPE_CHECKING:
    from babylm.client import Client

group = typer.Typer(
    help="Manage webhooks, which send signed messages about jobs to an address.",
    invoke_without_command=True,
    rich_markup_mode=None,
)
WebhookId = Annotated[str, typer.Argument(metavar="WEBHOOK", help="Id of a webhook.")]


def register(app: typer.Typer) -> None:
    """Adds the group."""
    app.add_typer(group, name="webhooks")


@group.callback()
def webhooks(context: typer.Context, url: Url = None, as_json: AsJson = False) -> None:
    """List the webhooks, or run one of the commands below."""
    if context.invoked_subcommand is not None:
        return
    from babylm.output import age, print_json, print_table

    with open_client(url) as client:
        found = client.listing("/v1/webhooks")
    if as_json:
        print_json(found)
        return
    rows = [
        (
            str(each.get("id", "")),
            str(each.get("url", "")),
            ", ".join(each.get("events", [])),
            "disabled" if each.get("disabled_at") else age(each.get("created_at")),
        )
        for each in found
    ]
    empty = "no webhooks; add one with `babylm webhooks add URL`"
    print_table(("id", "url", "events", "created"), rows, empty=empty)


@group.command()
def add(
    receiver: Annotated[str, typer.Argument(metavar="URL", help="https address of the receiver.")],
    events: Annotated[
        list[str] | None,
        typer.Option(
            "--event", help="Send only this type of message, such as job.failed; may be repeated."
        ),
    ] = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Add a webhook and print its secret. The service shows the secret only this once."""
    from babylm.output import print_json, print_pairs

    body = {"url": receiver} | ({"events": events} if events else {})
    with open_client(url) as client:
        made = client.call("POST", "/v1/webhooks", json=body)
    if as_json:
        print_json(made)
    else:
        print_pairs([(name, str(made[name])) for name in ("id", "url", "secret")])


@group.command()
def delete(webhook: WebhookId, url: Url = None, as_json: AsJson = False) -> None:
    """Remove a webhook with its deliveries."""
    from babylm.output import print_json

    with open_client(url) as client, _existing(client, webhook):
        client.call("DELETE", f"/v1/webhooks/{path_part(webhook, 'webhook')}")
    if as_json:
        print_json({"deleted": webhook})
    else:
        print(f"webhook {webhook} is removed")


@group.command("test")
def send_test(webhook: WebhookId, url: Url = None, as_json: AsJson = False) -> None:
    """Send a test message."""
    from babylm.output import print_json

    with open_client(url) as client, _existing(client, webhook):
        made = client.call("POST", f"/v1/webhooks/{path_part(webhook, 'webhook')}/test")
    if as_json:
        print_json(made)
    else:
        print(f"queued; `babylm webhooks deliveries {webhook}` shows the result")


@group.command()
def deliveries(
    webhook: WebhookId,
    status: Annotated[
        str | None,
        typer.Option(
            "--status",
            help="pending, delivered, failed, or undelivered (pending or failed).",
        ),
    ] = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """List the messages of a webhook, newest first."""
    from babylm.output import age, print_json, print_table

    query = {"status": status} if status else {}
    path = f"/v1/webhooks/{path_part(webhook, 'webhook')}/deliveries"
    with open_client(url) as client, _existing(client, webhook):
        found = client.listing(path, params=query)
    if as_json:
        print_json(found)
        return
    rows = [
        (
            str(each.get("id", "")),
            str(each.get("event", "")),
            str(each.get("status", "")),
            str(each.get("attempts", "")),
            age(each.get("created_at")),
            str(each.get("last_error") or ""),
        )
        for each in found
    ]
    columns = ("id", "event", "status", "attempts", "created", "error")
    print_table(columns, rows, empty="no such deliveries")


@group.command()
def redeliver(
    webhook: WebhookId,
    delivery: Annotated[
        str | None, typer.Argument(metavar="DELIVERY", help="Id of a delivery.")
    ] = None,
    undelivered: Annotated[
        bool, typer.Option("--undelivered", help="Send all messages that are pending or failed.")
    ] = False,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Send messages again. Their `webhook-id` does not change, so the receiver recognises them."""
    from babylm.errors import UsageError
    from babylm.output import print_json

    if (delivery is None) != undelivered:
        raise UsageError("give either the id of a delivery or --undelivered")
    path = f"/v1/webhooks/{path_part(webhook, 'webhook')}/deliveries"
    with open_client(url) as client, _existing(client, webhook):
        chosen = [str(delivery)]
        if undelivered:
            query = {"status": "undelivered", "limit": 1000}
            chosen = [str(each["id"]) for each in client.listing(path, params=query)]
        for each in chosen:
            client.call("POST", f"{path}/{path_part(each, 'delivery')}/redeliver")
    if as_json:
        print_json({"queued": chosen})
    else:
        print(f"{len(chosen)} messages are sent again")


@contextmanager
def _existing(client: "Client", webhook: str) -> Iterator[None]:
    """Replaces the error of the service if no webhook has this id."""
    from babylm.client._sync.service import NO_SUCH_ID
    from babylm.client.errors import ServiceError
    from babylm.client.fields import not_found

    try:
        yield
    except ServiceError as error:
        if error.status_code not in NO_SUCH_ID:
            raise
        if any(each["id"] == webhook for each in client.listing("/v1/webhooks")):
            raise
        raise not_found("webhook", webhook, "`babylm webhooks` lists the ids.", error) from error
