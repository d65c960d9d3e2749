# Generated from babylm/client/_async by `python -m babylm.generate_sync`. Do not edit.
"""Reads the list of jobs page by page."""

from collections.abc import Iterator

from babylm.client import wire
from babylm.client._sync.connection import Connection
from babylm.client.errors import BabylmError

PAGE_SIZE = 100


def job_pages(
    client: Connection,
    *,
    status: str | None = None,
    sort: str | None = None,
    limit: int | None = None,
) -> Iterator[list[wire.Job]]:
    """The jobs with this status, a list per page; at most `limit` jobs in all."""
    given = {"status": status, "sort": sort}
    query: dict[str, str | int] = {name: value for name, value in given.items() if value}
    count = 0
    while limit is None or count < limit:
        query["limit"] = PAGE_SIZE if limit is None else min(PAGE_SIZE, limit - count)
        page = client.call("GET", "/v1/jobs", params=query)
        count += len(page["data"])
        yield page["data"]
        if not page.get("next") or not page["data"]:
            return
        query["after"] = page["next"]


def id_that_begins(client: Connection, name: str) -> str | None:
    """The id of a job that begins with `name`; None if there is none.

    Reads pages of jobs, the newest first, up to the first page with such an id.

    Raises:
        BabylmError: If several ids on that page begin with `name`.
    """
    for page in job_pages(client):
        found = [each["id"] for each in page if each["id"].startswith(name)]
        if len(found) > 1:
            some = ", ".join(found[:3])
            raise BabylmError(
                f"{name} is the beginning of {len(found)} job ids: {some}",
                hint="Give more characters of the one that you mean.",
            )
        if found:
            return found[0]
    return None
