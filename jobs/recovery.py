"""The sweep: requeues the jobs of lost workers, and notifies workers if jobs are queued.

The sweep runs in the API, in each worker except pilots (workers that Slurm starts for one job), and
in a Slurm provisioner that runs continuously. So jobs are requeued while any of these processes
runs. Each write of a sweep checks that the row is unchanged, so any number of sweeps may run at the
same time.
"""

import logging
import threading
import time
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from typing import TypeVar

from sqlalchemy.exc import SQLAlchemyError

from jobs.attempts import reap, running_heartbeats
from jobs.database import Database
from jobs.queue import QueueNotifier
from jobs.short_tasks import count_queued_short_tasks, reap_short_task, running_short_tasks
from jobs.store import count_jobs
from jobs.workers import live_train_workers, remove_worker, worker_heartbeats

log = logging.getLogger(__name__)

Key = TypeVar("Key", bound=Hashable)

FORGET_WORKER_SECONDS = 3600.0
MAX_READ_SHARE = 0.25
"""Maximum duration of a read of the heartbeats, as a fraction of the lease (the time without a
heartbeat after which a worker counts as lost). After a longer read the database counts as
unavailable, and all leases start again."""


_Beats = list[tuple[tuple[str, int], int]]
"""Pairs of (id, attempt) and heartbeat."""


@dataclass(frozen=True)
class _Seen:
    beat: Hashable
    at: float


class HeartbeatMonitor:
    """Finds heartbeats that have not changed for a given time.

    The monitor measures with the monotonic clock of its own process, from the time at which it
    first saw a value. So neither a wrong wall clock nor a difference between two clocks makes a
    live worker look lost. The leader election of client-go uses the same method.
    """

    def __init__(self, seconds: float, clock: Callable[[], float]) -> None:
        self._seconds = seconds
        self._clock = clock
        self._seen: dict[Hashable, _Seen] = {}

    def expired(self, beats: Iterable[tuple[Key, Hashable]]) -> list[Key]:
        """The keys of the heartbeats that have not changed for too long."""
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

    def reset(self) -> None:
        """Starts all measurements again, after a time in which no heartbeats were read."""
        self._seen = {}


class Sweeper:
    """Finds lost workers and waiting jobs."""

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
        self._max_read_seconds = lease_seconds * MAX_READ_SHARE
        self._jobs = HeartbeatMonitor(lease_seconds, clock)
        self._tasks = HeartbeatMonitor(lease_seconds, clock)
        self._workers = HeartbeatMonitor(max(lease_seconds, FORGET_WORKER_SECONDS), clock)

    def sweep(self) -> None:
        """Requeues the jobs of lost workers, and notifies workers if jobs are queued."""
        self.reap()
        self.notify()

    def reap(self) -> list[str]:
        """Requeues the jobs and tasks of lost workers; returns the ids of the jobs."""
        began = self._clock()
        try:
            jobs, tasks, workers = self._read_heartbeats()
        except SQLAlchemyError:
            self._reset()
            raise
        if self._clock() - began > self._max_read_seconds:
            self._reset()
            return []
        beats, task_beats = dict(jobs), dict(tasks)
        reaped = []
        for job_id, attempt in self._jobs.expired(jobs):
            with self._database.write() as session:
                beat = beats[job_id, attempt]
                if reap(session, job_id, attempt=attempt, beat=beat) is not None:
                    log.warning("job %s attempt %d: its worker is lost", job_id, attempt)
                    reaped.append(job_id)
        for task_id, attempt in self._tasks.expired(task_beats.items()):
            with self._database.write() as session:
                reap_short_task(
                    session, task_id, attempt=attempt, beat=task_beats[task_id, attempt]
                )
        for worker_id in self._workers.expired(workers):
            with self._database.write() as session:
                remove_worker(session, worker_id)
        return reaped

    def _read_heartbeats(self) -> tuple[_Beats, _Beats, list[tuple[str, int]]]:
        with self._database.read() as session:
            beats = running_heartbeats(session)
            jobs = [((job_id, attempt), beat) for job_id, attempt, beat in beats]
            tasks = [
                ((task.id, task.attempt), task.heartbeat) for task in running_short_tasks(session)
            ]
            workers = worker_heartbeats(session)
        return jobs, tasks, workers

    def _reset(self) -> None:
        """Restarts all leases: workers cannot write heartbeats to an unavailable database."""
        for monitor in (self._jobs, self._tasks, self._workers):
            monitor.reset()

    def notify(self) -> None:
        """Sends a message per queued job, up to the number of slots, and one for short tasks."""
        if self._notifier is None:
            return
        with self._database.read() as session:
            queued = count_jobs(session).get("queued", 0)
            short = count_queued_short_tasks(session)
            slots = sum(worker.slots for worker in live_train_workers(session))
        if queued:
            self._notifier.notify("train", min(queued, max(1, slots)))
        if short:
            self._notifier.notify("short", 1)


class SweepThread(threading.Thread):
    """Sweeps periodically until it is stopped; logs an error and continues."""

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
            except SQLAlchemyError:  # a locked or full database; the next sweep tries again
                log.exception("the sweep failed")

    def stop(self) -> None:
        """Ends the thread; waits up to 10 seconds for the sweep in progress."""
        self._stopped.set()
        if self.is_alive():
            self.join(timeout=10.0)
