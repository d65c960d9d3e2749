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
from jobs.short_tasks import count_queued_short_tasks, reap_short_task, running_short_tasks
from jobs.store import count_jobs
from jobs.workers import all_workers, live_workers, remove_worker

log = logging.getLogger(__name__)

Key = TypeVar("Key", bound=Hashable)

FORGET_WORKER_SECONDS = 3600.0


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
        self._jobs = HeartbeatMonitor(lease_seconds, clock)
        self._tasks = HeartbeatMonitor(lease_seconds, clock)
        self._workers = HeartbeatMonitor(max(lease_seconds, FORGET_WORKER_SECONDS), clock)

    def sweep(self) -> None:
        """One look: reap what is lost, ring for what waits."""
        self.reap()
        self.notify()

    def reap(self) -> list[str]:
        """Takes what lost workers hold; returns the ids of those jobs."""
        with self._database.read() as session:
            jobs = [((job.id, job.attempt), job.heartbeat) for job in running_jobs(session)]
            tasks = [
                ((task.id, task.attempt), task.heartbeat) for task in running_short_tasks(session)
            ]
            workers = [(worker.id, worker.heartbeat) for worker in all_workers(session)]
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

    def notify(self) -> None:
        """Rings once for each queued job that a free slot could take."""
        if self._notifier is None:
            return
        with self._database.read() as session:
            queued = count_jobs(session).get("queued", 0)
            short = count_queued_short_tasks(session)
            slots = sum(w.slots for w in live_workers(session) if w.queue == "train")
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
