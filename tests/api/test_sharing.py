"""Identical requests that wait at the same time share one read, which begins after they arrive."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import httpx2 as httpx
import pytest
from sqlalchemy import event

from api.app import create_app, shared_path_pattern
from api.sharing import SharedAnswers, SharedReads


class Source:
    """A value to read. A read ends when the test says so, and returns the value at its start."""

    def __init__(self) -> None:
        self.value = 0
        self.reads = 0
        self.gate = asyncio.Event()
        self.error: Exception | None = None

    async def read(self) -> int:
        self.reads += 1
        found = self.value
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        return found


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


def case(test: Callable[[SharedReads[int], Source], Awaitable[None]]) -> Callable[[], None]:
    """Turns an asynchronous test into a function that runs it in an event loop of its own."""

    def run() -> None:
        async def main() -> None:
            await test(SharedReads(), Source())

        asyncio.run(main())

    run.__name__ = test.__name__
    return run


@case
async def test_callers_that_wait_share_a_read_that_begins_after_they_called(shared, source):
    first = asyncio.create_task(shared.run("key", source.read))
    await settle()
    source.value = 1  # a write that the later callers must see
    later = [asyncio.create_task(shared.run("key", source.read)) for _ in range(50)]
    await settle()
    assert source.reads == 1
    source.gate.set()
    assert await first == 0
    assert set(await asyncio.gather(*later)) == {1}
    assert source.reads == 2


@case
async def test_reads_with_different_keys_do_not_wait_for_each_other(shared, source):
    both = [asyncio.create_task(shared.run(key, source.read)) for key in ("a", "b")]
    await settle()
    assert source.reads == 2
    source.gate.set()
    await asyncio.gather(*both)
    assert await shared.run("a", source.read) == 0
    assert source.reads == 3  # nothing is kept after the answer


@case
async def test_an_error_is_raised_for_all_callers_that_share_the_read(shared, source):
    source.error = ValueError("broken")
    first = asyncio.create_task(shared.run("key", source.read))
    await settle()
    later = [asyncio.create_task(shared.run("key", source.read)) for _ in range(5)]
    await settle()
    source.gate.set()
    answers = await asyncio.gather(first, *later, return_exceptions=True)
    assert [str(answer) for answer in answers] == ["broken"] * 6
    assert source.reads == 2
    source.error = None
    assert await shared.run("key", source.read) == 0


@case
async def test_a_caller_that_is_cancelled_does_not_take_the_others_with_it(shared, source):
    first = asyncio.create_task(shared.run("key", source.read))
    await settle()
    later = [asyncio.create_task(shared.run("key", source.read)) for _ in range(4)]
    await settle()
    later[0].cancel()  # the caller that would read for all later callers
    later[2].cancel()  # a caller that only waits for the answer
    await settle()
    source.gate.set()
    answers = await asyncio.gather(first, *later, return_exceptions=True)
    cancelled = asyncio.CancelledError
    assert [type(each) for each in answers] == [int, cancelled, int, cancelled, int]
    assert await shared.run("key", source.read) == 0


@case
async def test_a_running_read_that_is_cancelled_lets_the_next_begin(shared, source):
    first = asyncio.create_task(shared.run("key", source.read))
    await settle()
    later = asyncio.create_task(shared.run("key", source.read))
    await settle()
    first.cancel()
    source.gate.set()
    assert await later == 0
    with pytest.raises(asyncio.CancelledError):
        await first


def test_simultaneous_requests_get_whole_answers_and_share_reads(settings, database):
    """Sends 100 identical requests and two with other queries, one of which is invalid."""
    app, transactions = create_app(settings, database=database), []
    event.listen(database.engine, "begin", transactions.append)

    async def ask() -> list[httpx.Response]:
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            requests: list[Any] = [client.get("/v1/jobs?limit=1") for _ in range(100)]
            requests.append(client.get("/v1/jobs?limit=2"))
            requests.append(client.get("/v1/jobs?limit=0"))
            return await asyncio.gather(*requests)

    answers = asyncio.run(ask())
    assert [answer.status_code for answer in answers] == [200] * 101 + [422]
    assert len({answer.content for answer in answers[:101]}) == 1
    assert all(answer.headers["x-content-type-options"] == "nosniff" for answer in answers)
    assert 2 < len(transactions) < 20


def test_only_answers_that_fit_in_memory_are_shared():
    middleware = SharedAnswers(create_app, paths=shared_path_pattern())  # the app is not called

    def is_shared(path: str, method: str = "GET") -> bool:
        return middleware.is_shared({"type": "http", "method": method, "path": path})

    for path in ("/v1/jobs", "/v1/jobs/1", "/v1/jobs/1/events", "/v1/workers", "/v1/datasets/a"):
        assert is_shared(path), path
    assert not is_shared("/v1/jobs", "POST")
    for path in ("events/stream", "logs", "checkpoints/best/archive", "checkpoints/best/files/a/b"):
        assert not is_shared(f"/v1/jobs/1/{path}"), path
    assert not is_shared("/healthz")
