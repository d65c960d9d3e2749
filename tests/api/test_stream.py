"""Threads and queries of open streams."""

import threading

import anyio
import pytest

from api.bulkhead import Bulkhead
from api.errors import Problem
from api.stream import PAGES_KEPT, Page, Watchers


def page(after: int, *, is_full: bool = False, has_ended: bool = True) -> Page:
    return Page(b"", after, is_full=is_full, has_ended=has_ended)


def test_a_call_that_does_not_begin_in_time_is_refused():
    released = threading.Event()
    begun = threading.Event()

    def hold() -> None:
        begun.set()
        released.wait()

    async def ask() -> None:
        bulkhead = Bulkhead(max_threads=1, max_waiting=5, max_wait_seconds=0)
        async with anyio.create_task_group() as group:
            group.start_soon(bulkhead.run, hold)
            while not begun.is_set():
                await anyio.sleep(0)
            with pytest.raises(Problem) as refused:
                await bulkhead.run(lambda: None)
            assert (refused.value.status, refused.value.code) == (503, "overloaded")
            released.set()
        assert await bulkhead.run(lambda: "free again") == "free again"

    anyio.run(ask)


def test_streams_that_wait_for_the_same_events_share_one_query():
    calls: list[int] = []

    def look(after: int) -> Page:
        calls.append(after)
        return page(after)

    async def ask() -> None:
        watchers, bulkhead = Watchers(), Bulkhead(max_threads=2)
        async with anyio.create_task_group() as group:
            for number in range(50):
                group.start_soon(watchers.look, "job", number % 2, look, bulkhead)
        assert sorted(calls) == [0, 1]
        await watchers.look("job", 0, look, bulkhead)
        assert sorted(calls) == [0, 0, 1]

    anyio.run(ask)


def test_a_query_that_has_begun_is_not_shared():
    released, begun = threading.Event(), threading.Event()
    calls: list[int] = []

    def look(after: int) -> Page:
        calls.append(after)
        begun.set()
        if len(calls) == 1:
            released.wait()
        return page(after)

    async def ask() -> None:
        watchers, bulkhead = Watchers(), Bulkhead(max_threads=2)
        async with anyio.create_task_group() as group:
            group.start_soon(watchers.look, "job", 0, look, bulkhead)
            while not begun.is_set():
                await anyio.sleep(0)
            await watchers.look("job", 0, look, bulkhead)
            released.set()
        assert calls == [0, 0]

    anyio.run(ask)


def test_a_closed_stream_does_not_end_the_query_of_others():
    def look(after: int) -> Page:
        return page(after)

    async def ask() -> None:
        watchers, bulkhead = Watchers(), Bulkhead(max_threads=1)
        found: list[Page] = []

        async def other() -> None:
            found.append(await watchers.look("job", 7, look, bulkhead))

        async with anyio.create_task_group() as group:
            with anyio.CancelScope() as closed:
                group.start_soon(other)
                closed.cancel()
                await watchers.look("job", 7, look, bulkhead)
        assert found == [page(7)]

    anyio.run(ask)


def test_full_pages_are_read_once_and_others_again():
    calls: list[int] = []

    def look(after: int) -> Page:
        calls.append(after)
        return page(after + 500, is_full=after == 0, has_ended=after == 1000)

    async def ask() -> None:
        watchers, bulkhead = Watchers(), Bulkhead(max_threads=1)
        for after in (0, 500, 1000) * 2:
            await watchers.look("job", after, look, bulkhead)
        assert calls == [0, 500, 1000, 500, 1000]
        for number in range(PAGES_KEPT):  # more pages than are kept
            await watchers.look(f"job {number}", 0, look, bulkhead)
        await watchers.look("job", 0, look, bulkhead)
        assert calls.count(0) == 1 + PAGES_KEPT + 1

    anyio.run(ask)
