"""If many requests arrive at the same time, only a few begin in each pass of the event loop."""

from typing import Any

import anyio

from api.admission import MAX_BEGINNING, MAX_WAITING, Admission


class Recorder:
    """An app that counts the requests that have begun. A request ends only on command."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.released = anyio.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        del receive, send
        self.begun.append(scope["path"])
        await self.released.wait()


async def receive() -> dict[str, Any]:
    raise AssertionError


def test_a_burst_begins_a_few_requests_in_each_pass_and_health_at_once():
    async def burst() -> None:
        app = Recorder()
        admission = Admission(app)
        statuses: list[int] = []

        async def send(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.start":
                statuses.append(message["status"])

        async with anyio.create_task_group() as group:
            for _ in range(MAX_WAITING + 7):
                group.start_soon(admission, {"type": "http", "path": "/v1/jobs"}, receive, send)
            group.start_soon(admission, {"type": "http", "path": "/healthz"}, receive, send)
            await anyio.sleep(0)
            assert statuses == [503] * 7
            assert app.begun == ["/healthz"]
            most, before = 0, len(app.begun)
            while len(app.begun) < MAX_WAITING + 1:
                await anyio.sleep(0)
                most, before = max(most, len(app.begun) - before), len(app.begun)
            assert most <= MAX_BEGINNING
            app.released.set()

    anyio.run(burst)


def test_requests_that_have_begun_do_not_block_others():
    async def slow() -> None:
        app = Recorder()
        admission = Admission(app)
        async with anyio.create_task_group() as group:
            for number in range(2 * MAX_WAITING):
                scope = {"type": "http", "path": "/v1/jobs"}
                group.start_soon(admission, scope, receive, receive)
                while len(app.begun) <= number:
                    await anyio.sleep(0)
            app.released.set()

    anyio.run(slow)
