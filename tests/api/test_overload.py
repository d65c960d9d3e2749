"""More concurrent requests than threads and connections: each gets an answer."""

import inspect
import pkgutil
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from importlib import import_module

import anyio
import httpx2 as httpx
import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute

import api.routes
from api.app import create_app
from api.bulkhead import Bulkhead
from api.deps import Reading
from api.stream import MAX_ANSWERS
from jobs.database import Database
from tests.api.test_events import parsed

DEADLINE_SECONDS = 120.0
REQUESTS = 150
"""Number of concurrent requests. It exceeds anyio's 40 threads and the database connections."""


@pytest.fixture
def small(settings) -> Iterator[FastAPI]:
    """The app with a single connection."""
    database = Database(settings.database_url, max_connections=1)
    yield create_app(settings, database=database)
    database.dispose()


@asynccontextmanager
async def clients(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app=app)
    with anyio.fail_after(DEADLINE_SECONDS):
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            yield client


def resize(app: FastAPI, **bulkheads: Bulkhead) -> None:
    app.state.context = replace(app.state.context, **bulkheads)


@contextmanager
def all_connections_held(app: FastAPI) -> Iterator[None]:
    """Takes all connections until the block ends, like queries that do not end."""
    with app.state.context.database.engine.connect():
        yield


def test_a_burst_is_answered_with_one_connection(small, world):
    job_id = world.running()
    world.metrics(job_id, 1, train__loss=1.0)
    paths = [
        *("/v1/jobs?limit=1", f"/v1/jobs/{job_id}", f"/v1/jobs/{job_id}/events"),
        *(f"/v1/jobs/{job_id}/metrics", "/v1/workers", "/v1/datasets"),
    ]
    answers: list[httpx.Response] = []

    async def burst() -> None:
        async with clients(small) as client, anyio.create_task_group() as group:

            async def ask(path: str) -> None:
                answers.append(await client.get(path))

            for number in range(REQUESTS):
                group.start_soon(ask, paths[number % len(paths)])

    anyio.run(burst)
    assert [answer.status_code for answer in answers] == [200] * REQUESTS


def test_reads_and_writes_in_a_burst_are_answered_with_one_connection(small, world):
    job_id = world.job()
    statuses: list[int] = []

    async def burst() -> None:
        async with clients(small) as client, anyio.create_task_group() as group:

            async def ask(method: str, path: str) -> None:
                statuses.append((await client.request(method, path)).status_code)

            for _ in range(REQUESTS // 2):
                group.start_soon(ask, "POST", f"/v1/jobs/{job_id}/cancel")
                group.start_soon(ask, "GET", "/v1/jobs")

    anyio.run(burst)
    assert set(statuses) <= {200, 202, 409}
    assert statuses.count(200) == REQUESTS // 2


def test_overload_is_refused_at_once_while_health_is_answered(small, world):
    world.job()
    resize(small, reads=Bulkhead(max_threads=2, max_waiting=3))
    answers: list[httpx.Response] = []

    async def overload() -> None:
        async with clients(small) as client, anyio.create_task_group() as group:

            async def ask(limit: int) -> None:  # `limit` differs: equal reads share one answer
                answers.append(await client.get(f"/v1/jobs?limit={limit}"))

            with all_connections_held(small):
                for limit in range(1, 10):
                    group.start_soon(ask, limit)
                while len(answers) < 4:
                    await anyio.sleep(0)
                assert (await client.get("/healthz")).status_code == 200
                assert (await client.get("/static/app.js")).status_code == 200
                assert len(answers) == 4

    anyio.run(overload)
    refused, answered = answers[:4], answers[4:]
    assert [answer.status_code for answer in refused] == [503] * 4
    for answer in refused:
        assert answer.json()["code"] == "overloaded"
        assert answer.headers["content-type"] == "application/problem+json"
        assert int(answer.headers["retry-after"]) >= 1
    assert [answer.status_code for answer in answered] == [200] * 5


def test_health_needs_no_thread_of_the_default_pool(small):
    released = anyio.Event()

    async def ask() -> None:
        limiter = anyio.to_thread.current_default_thread_limiter()
        async with clients(small) as client, anyio.create_task_group() as group:

            async def hold() -> None:
                async with limiter:
                    await released.wait()

            for _ in range(int(limiter.total_tokens)):
                group.start_soon(hold)
            while limiter.available_tokens:
                await anyio.sleep(0)
            assert (await client.get("/healthz")).status_code == 200
            assert (await client.get("/v1/jobs")).status_code == 200
            assert (await client.get(f"/v1/jobs/{'0' * 32}")).status_code == 404
            released.set()

    anyio.run(ask)


def test_open_streams_hold_neither_the_connection_nor_the_thread(small, world):
    job_id = world.running()
    resize(small, follows=Bulkhead(max_threads=1))
    streams: list[list[int]] = []

    async def follow() -> None:
        async with clients(small) as client, anyio.create_task_group() as group:

            async def stream() -> None:
                answer = await client.get(f"/v1/jobs/{job_id}/events/stream")
                streams.append([int(event["id"]) for event in parsed(answer.text)])

            for _ in range(20):
                group.start_soon(stream)
            while small.state.context.watchers.count < 20:
                await anyio.sleep(0)
            for _ in range(20):
                assert (await client.get("/v1/jobs")).status_code == 200
            await anyio.to_thread.run_sync(world.end, job_id)

    anyio.run(follow)
    assert streams == [[1, 2, 3]] * 20


def test_too_many_waits_for_the_short_worker_are_refused(small, world):
    job_id = world.running()
    world.checkpoint(job_id, files={"config.json": b"{}"})
    world.worker("short")

    async def ask() -> int:
        async with clients(small) as client:
            with _waits(small, MAX_ANSWERS):
                path = f"/v1/jobs/{job_id}/checkpoints/last/generate"
                answer = await client.post(path, json={"prompt": "a"})
        assert answer.json()["code"] == "too_many_short_tasks"
        assert answer.headers["retry-after"]
        return answer.status_code

    assert anyio.run(ask) == 503


@contextmanager
def _waits(app: FastAPI, count: int) -> Iterator[None]:
    if count == 0:
        yield
        return
    with app.state.context.watchers.awaiting_answer(), _waits(app, count - 1):
        yield


def every_route() -> list[APIRoute]:
    modules = [
        import_module(f"api.routes.{found.name}")
        for found in pkgutil.iter_modules(api.routes.__path__)
    ]
    return [route for module in modules for route in module.router.routes]


def is_async(function: object) -> bool:
    return inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function)


@pytest.mark.parametrize("route", every_route(), ids=lambda route: f"{route.name}")
def test_no_route_takes_a_thread_of_fastapi(route):
    """In FastAPI's thread pool, calls that wait for a connection can block calls that free one."""
    assert is_async(route.endpoint)
    dependants = list(route.dependant.dependencies)
    while dependants:
        dependant = dependants.pop()
        assert is_async(dependant.call), dependant.call
        dependants += dependant.dependencies
    parameters = inspect.signature(route.endpoint).parameters.values()
    takes_session = any(parameter.annotation == Reading for parameter in parameters)
    if takes_session:
        assert not inspect.iscoroutinefunction(inspect.unwrap(route.endpoint))


def test_refusals_take_no_thread(small):
    for error, handler in small.exception_handlers.items():
        assert inspect.iscoroutinefunction(handler), error
