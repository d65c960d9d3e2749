"""The sweep: takes jobs from workers that are lost, and rings for those that wait.

Runs in the API and in each worker, so that either survives alone; all that it writes is guarded, so
any number of sweeps may run at once.
"""

import logging
import threading
import time
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from typing import TypeVar

from sqlalchemy.exc import SQLAlchemyError

from jobs.attempts import reap, running_jobs
from jobs.database import Database
from jobs.queue import QueueNotifier
from jobs.resources import offer_of
from jobs.short_tasks import count_queued_short_tasks, reap_short_task, running_short_tasks
from jobs.store import count_jobs
from jobs.workers import all_workers, live_workers, remove_worker

log = logging.getLogger(__name__)

Key = TypeVar("Key", bound=Hashable)

FORGET_WORKER_SECONDS = 3600.0
LOOK_SHARE = 0.25
"""Part of the lease: a look that took longer met a database that was away or frozen."""


_Beats = list[tuple[tuple[str, int], int]]
"""(id, attempt) and the heartbeat."""


@dataclass(frozen=True)
class _Seen:
    beat: Hashable
    at: float


class HeartbeatMonitor:
    """Tells which of the things it is shown have not changed for a while.

    Judged by the watcher's own monotonic clock, from when it first saw the beat: neither a wrong
    wall clock nor two clocks that differ can make a living worker look lost (as leader election in
    client-go does).
    """

    def __init__(self, seconds: float, clock: Callable[[], float]) -> None:
        self._seconds = seconds
        self._clock = clock
        self._seen: dict[Hashable, _Seen] = {}

    def still(self, beats: Iterable[tuple[Key, Hashable]]) -> list[Key]:
        """Of the keys, each with its heartbeat, those whose heartbeat stands still too long."""
        moment = self._clock()
        current: dict[Hashable, _Seen] = {}
        lost = []
        for key, beat in beats:
            before = self._seen.get(key)
            unchanged = before is not None and before.beat == beat
            current[key] = before if before is not None and unchanged else _Seen(beat, moment)
            if moment - current[key].at >= self._seconds:
                lost.append(key)
        self._seen = current
        return lost

    def forget(self) -> None:
        """Begins anew: for a while nothing could be seen, so nothing is known to stand still."""
        self._seen = {}


class Sweeper:
    """One observer of all jobs."""

    def __init__(
        self,
        database: Database,
        *,
        notifier: QueueNotifier | None,
        lease_seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._notifier = notifier
        self._clock = clock
        self._longest_look = lease_seconds * LOOK_SHARE
        self._jobs = HeartbeatMonitor(lease_seconds, clock)
        self._tasks = HeartbeatMonitor(lease_seconds, clock)
        self._workers = HeartbeatMonitor(max(lease_seconds, FORGET_WORKER_SECONDS), clock)

    def sweep(self) -> None:
        """One look: reap what is lost, ring for what waits."""
        self.reap()
        self.notify()

    def reap(self) -> list[str]:
        """Takes what lost workers hold; returns the ids of those jobs."""
        began = self._clock()
        try:
            jobs, tasks, workers = self._look()
        except SQLAlchemyError:
            self._forget()
            raise
        if self._clock() - began > self._longest_look:
            self._forget()
            return []
        beats, task_beats = dict(jobs), dict(tasks)
        reaped = []
        for job_id, attempt in self._jobs.still(jobs):
            with self._database.write() as session:
                beat = beats[job_id, attempt]
                if reap(session, job_id, attempt=attempt, beat=beat) is not None:
                    log.warning("job %s attempt %d: its worker is lost", job_id, attempt)
                    reaped.append(job_id)
        for task_id, attempt in self._tasks.still(task_beats.items()):
            with self._database.write() as session:
                reap_short_task(
                    session, task_id, attempt=attempt, beat=task_beats[task_id, attempt]
                )
        for worker_id in self._workers.still(workers):
            with self._database.write() as session:
                remove_worker(session, worker_id)
        return reaped

    def _look(self) -> tuple[_Beats, _Beats, list[tuple[str, int]]]:
        with self._database.read() as session:
            jobs = [((job.id, job.attempt), job.heartbeat) for job in running_jobs(session)]
            tasks = [
                ((task.id, task.attempt), task.heartbeat) for task in running_short_tasks(session)
            ]
            workers = [(worker.id, worker.heartbeat) for worker in all_workers(session)]
        return jobs, tasks, workers

    def _forget(self) -> None:
        """A database that was away took nobody's signs of life: all get a whole lease again."""
        for watch in (self._jobs, self._tasks, self._workers):
            watch.forget()

    def notify(self) -> None:
        """Rings once for each queued job that a free slot could take."""
        if self._notifier is None:
            return
        with self._database.read() as session:
            queued = count_jobs(session).get("queued", 0)
            short = count_queued_short_tasks(session)
            slots = sum(
                worker.slots
                for worker in live_workers(session)
                if worker.queue == "train" and offer_of(worker).job_id is None
            )
        if queued:
            self._notifier.notify("train", min(queued, max(1, slots)))
        if short:
            self._notifier.notify("short", 1)


class SweepThread(threading.Thread):
    """Sweeps again and again until it is stopped; an error is logged and the next sweep tried."""

    def __init__(self, sweeper: Sweeper, *, seconds: float) -> None:
        super().__init__(name="sweeper", daemon=True)
        self._sweeper = sweeper
        self._seconds = seconds
        self._stopped = threading.Event()

    def run(self) -> None:
        """The loop."""
        while not self._stopped.wait(self._seconds):
            try:
                self._sweeper.sweep()
            except SQLAlchemyError:  # a locked or full database; what was not done is done later
                log.exception("sweep")

    def stop(self) -> None:
        """Ends the thread; waits for the sweep in progress."""
        self._stopped.set()
        if self.is_alive():
            self.join(timeout=10.0)
