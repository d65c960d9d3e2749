"""A study of the service: a job for each condition (a combination of grid values) and seed."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Self

from babylm.client import wire
from babylm.client._async.connection import AsyncConnection
from babylm.client._async.job import AsyncJob

POLL_SECONDS = 2.0


class AsyncStudy:
    """A study. Its attributes have the values of the last response; `refresh` requests new ones.

    Attributes:
        data: The study as the service sent it.
    """

    def __init__(self, client: AsyncConnection, data: wire.Body) -> None:
        self._client = client
        self.data = data

    @property
    def id(self) -> str:
        """The id."""
        return str(self.data["id"])

    @property
    def name(self) -> str:
        """The name."""
        return str(self.data["name"])

    @property
    def counts(self) -> dict[str, int]:
        """The number of members (jobs of the study) for each status."""
        return dict(self.data["counts"])

    @property
    def is_over(self) -> bool:
        """True if all members have ended."""
        return all(status in wire.FINAL_STATUSES for status in self.counts)

    @property
    def table(self) -> list[wire.Body]:
        """A row for each condition: its number, its values, and a summary of each metric."""
        return list(self.data.get("table") or [])

    @property
    def members(self) -> list[wire.Body]:
        """The members, each with job, condition, seed, status and latest metrics."""
        return list(self.data.get("members") or [])

    @property
    def url(self) -> str:
        """The page of the study on the dashboard."""
        return f"{self._client.url}/#/studies/{self.id}"

    def __repr__(self) -> str:
        return f"<Study {self.id[:8]} {self.name!r} {self.counts}>"

    async def refresh(self) -> Self:
        """Requests the current state of the study."""
        self.data = await self._client.call("GET", self._path)
        return self

    async def cancel(self) -> Self:
        """Cancels all members that have not ended."""
        self.data = await self._client.call("POST", f"{self._path}/cancel")
        return self

    async def resume(self) -> Self:
        """Requeues paused, failed and cancelled members; they continue at their checkpoints."""
        self.data = await self._client.call("POST", f"{self._path}/resume")
        return self

    async def add_seeds(self, seeds: int | Sequence[int]) -> Self:
        """Adds seeds to each condition.

        Args:
            seeds: The new total number of seeds, or a list of seeds to add.
        """
        body = {"seeds": seeds if isinstance(seeds, int) else list(seeds)}
        self.data = await self._client.call("POST", f"{self._path}/seeds", json=body)
        return self

    async def delete(self) -> None:
        """Deletes the study, its members and all their files; all members must have ended."""
        await self._client.call("DELETE", self._path)

    async def jobs(self) -> list[AsyncJob]:
        """The jobs of all members, in the order of condition and seed."""
        return [
            AsyncJob(self._client, await self._client.call("GET", f"/v1/jobs/{member['job']}"))
            for member in self.members
        ]

    async def csv(self) -> str:
        """The study as CSV: a line for each member with condition, seed, status and metrics."""
        async with self._client.stream(f"{self._path}/csv") as answer:
            return (await answer.aread()).decode()

    async def wait(
        self,
        *,
        advance: Callable[[wire.Body], None] = lambda _: None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> Self:
        """Waits until all members have ended.

        Args:
            advance: Called with the study after each request.
            sleep: Function that waits between two requests.
        """
        while True:
            self.data = await self._client.poll(self._path, sleep=sleep)
            advance(self.data)
            if self.is_over:
                return self
            await sleep(POLL_SECONDS)

    @property
    def _path(self) -> str:
        return f"/v1/studies/{self.id}"
