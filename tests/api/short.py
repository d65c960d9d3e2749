"""A worker for short tasks that starts no child process.

It claims the tasks and calls a function of the test, which records their results.
"""

import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

from sqlmodel import Session

from jobs.short_tasks import claim_short_task
from jobs.tables import ShortTask


class ShortWorker:
    """Claims short tasks until the block ends; calls `answer` in the transaction of each claim."""

    def __init__(self, world, answer: Callable[[Session, ShortTask], None]) -> None:
        self._database = world.database
        self._answer = answer
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._name = world.worker("short")
        self.error: BaseException | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._end.set()
        self._thread.join()
        if self.error is not None:
            raise self.error

    def _run(self) -> None:
        try:
            while not self._end.wait(0.01):
                with self._database.write() as session:
                    task = claim_short_task(session, self._name)
                    if task is not None:
                        self._answer(session, task)
        except BaseException as error:
            self.error = error
