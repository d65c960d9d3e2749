"""Threads and queries of open streams."""

import asyncio
import gc
import threading
import weakref

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


def test_a_call_whose_caller_is_cancelled_while_it_waits_does_not_run():
    released, begun = threading.Event(), threading.Event()
    ran: list[str] = []

    def hold() -> None:
        begun.set()
        released.wait()

    async def ask() -> None:
        bulkhead = Bulkhead(max_threads=1, max_waiting=1)
        async with anyio.create_task_group() as group:
            group.start_soon(bulkhead.run, hold)
            while not begun.is_set():
                await anyio.sleep(0)
            with anyio.CancelScope() as cancelled:
                cancelled.cancel()
                await bulkhead.run(lambda: ran.append("cancelled"))
            group.start_soon(bulkhead.run, lambda: ran.append("next"))  # the place is free again
            released.set()
        assert ran == ["next"]

    anyio.run(ask)


def test_calls_run_in_order_and_also_after_the_threads_have_ended():
    found: list[int] = []

    async def ask() -> None:
        bulkhead = Bulkhead(max_threads=1, idle_seconds=0.0001)
        for begin in range(0, 3000, 3):  # the thread often ends between two rounds
            rounds = [
                bulkhead.run(lambda number=begin + add: found.append(number)) for add in range(3)
            ]
            await asyncio.gather(*rounds)

    asyncio.run(ask())
    assert found == list(range(3000))


@pytest.mark.parametrize("error", [KeyError("no"), StopIteration(), SystemExit(3)])
def test_the_error_of_a_call_is_raised_for_its_caller(error):
    def fail() -> None:
        raise error

    async def ask() -> None:
        bulkhead = Bulkhead(max_threads=1)
        expected = RuntimeError if isinstance(error, StopIteration) else type(error)
        with pytest.raises(expected) as raised:
            await bulkhead.run(fail)
        assert error in (raised.value, raised.value.__cause__)
        assert await bulkhead.run(lambda: "free again") == "free again"

    asyncio.run(ask())


def test_the_error_of_a_call_is_freed_without_a_garbage_collection():
    class Refused(Exception):
        pass

    def fail() -> None:
        raise Refused

    async def ask() -> list[weakref.ref[Refused]]:
        bulkhead, found = Bulkhead(max_threads=1), []
        for _ in range(3):
            try:
                await bulkhead.run(fail)
            except Refused as error:
                found.append(weakref.ref(error))
            await bulkhead.run(lambda: None)  # the thread has finished the call before
        return found

    gc.disable()
    try:
        assert all(error() is None for error in asyncio.run(ask()))
    finally:
        gc.enable()


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
