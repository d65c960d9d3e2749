"""Creates tasks for the short worker, and waits for the results.

The short worker is a process for tasks that must not wait for training jobs, such as generating
text or evaluating a checkpoint.
"""

import time
from collections.abc import AsyncIterator, Sequence

import anyio
from sqlmodel import Session

from api.deps import Context
from api.errors import STATUS_BY_CODE, Problem
from jobs.short_tasks import Kind, create_short_tasks, get_short_task
from jobs.tables import Json, ShortTask
from jobs.workers import live_workers

WAIT_SECONDS = 120.0
LOOK_SECONDS = 0.1


def ask(session: Session, *, kind: Kind, job_id: str, request: Json) -> ShortTask:
    """A new task for the short worker.

    Raises:
        Problem: 503 if no short worker is alive.
    """
    return ask_all(session, job_id, [(kind, request)])[0]


def ask_all(session: Session, job_id: str, asked: Sequence[tuple[Kind, Json]]) -> list[ShortTask]:
    """New tasks for the short worker, which runs them in the given order.

    Raises:
        Problem: 503 if no short worker is alive.
    """
    if not any(worker.queue == "short" for worker in live_workers(session)):
        detail = "no worker for short tasks is alive: start one with `babylm worker --queue short`"
        raise Problem(503, "no_worker", detail, headers={"Retry-After": "10"})
    return create_short_tasks(session, job_id, asked)


async def answer_of(context: Context, task_id: str) -> Json:
    """Waits for a task; returns its result.

    Raises:
        Problem: If the task failed, with the HTTP status of its error; 504 if it took too long.
    """
    result: Json = {}
    async for answer, _ in answers_of(context, task_id):
        result = answer
    return result


async def answers_of(context: Context, task_id: str) -> AsyncIterator[tuple[Json, bool]]:
    """Yields each new partial result of a task with False, then the final result with True.

    Raises:
        Problem: If the task failed, with the HTTP status of its error; 504 if it took too long.
    """

    def look() -> ShortTask:
        with context.database.read() as session:
            return get_short_task(session, task_id)

    deadline = time.monotonic() + WAIT_SECONDS
    reported: Json | None = None
    with context.watchers.watching(task_id) as news:
        while time.monotonic() < deadline:
            if context.watchers.is_closed:
                raise _shutting_down()
            news.clear()
            task = await context.follows.run(look)
            if task.result is not None:
                yield task.result, True
                return
            if task.error is not None:
                code = task.error["code"]
                detail = _detail(task.error["message"], task.error["hint"])
                raise Problem(STATUS_BY_CODE.get(code, 500), code, detail)
            if task.state is not None and task.state != reported:
                reported = task.state
                yield reported, False
            with anyio.move_on_after(LOOK_SECONDS):
                await news.wait()
    raise Problem(504, "time_limit", f"no answer within {WAIT_SECONDS:.0f} s; try again")


def _shutting_down() -> Problem:
    detail = "the service is shutting down; try again when it runs again"
    return Problem(503, "shutting_down", detail, headers={"Retry-After": "5"})


def _detail(message: str, hint: str) -> str:
    """The message and the hint as separate sentences."""
    if not hint:
        return message
    end = " " if message.endswith((".", "!", "?")) else ". "
    return f"{message}{end}{hint}"
