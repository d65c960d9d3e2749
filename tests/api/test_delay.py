"""The time that requests wait in a queue is limited."""

from typing import Any

import anyio

from api.admission import Admission
from api.delay import BURST_SECONDS, OVERLOAD_SECONDS, QueueDelay


class Clock:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_burst_may_wait_for_seconds():
    clock = Clock()
    delay = QueueDelay(clock)
    delay.enter(is_empty=True)
    entered_at = delay.enter(is_empty=False)
    clock.now += BURST_SECONDS - 0.1
    assert not delay.is_too_long(entered_at)
    clock.now += 0.2
    assert delay.is_too_long(entered_at)


def test_under_sustained_overload_only_fresh_requests_are_served():
    clock = Clock()
    delay = QueueDelay(clock)
    delay.enter(is_empty=True)
    clock.now += BURST_SECONDS + 1.0
    entered_at = delay.enter(is_empty=False)
    clock.now += OVERLOAD_SECONDS / 2
    assert not delay.is_too_long(entered_at)
    clock.now += OVERLOAD_SECONDS
    assert delay.is_too_long(entered_at)
    delay.enter(is_empty=True)  # the queue was empty, so the next requests are a new burst
    assert not delay.is_too_long(entered_at)


def test_admission_refuses_who_has_waited_for_too_long():
    clock = Clock()
    begun: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        begun.append(scope["path"])

    async def receive() -> dict[str, Any]:
        raise AssertionError

    async def burst() -> None:
        admission = Admission(app, delay=QueueDelay(clock))
        statuses: list[int] = []

        async def send(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.start":
                statuses.append(message["status"])

        async with anyio.create_task_group() as group:
            for _ in range(40):
                group.start_soon(admission, {"type": "http", "path": "/v1/jobs"}, receive, send)
            while len(begun) < 10:
                await anyio.sleep(0)
            clock.now += BURST_SECONDS + 0.1
        assert 10 <= len(begun) <= 12
        assert statuses == [503] * (40 - len(begun))

    anyio.run(burst)
