"""Simulated workers of `bench_scale`: they supervise jobs as real workers do, without training.

`python -m benchmarks.scale_workers RUNS_DIR DATABASE_URL REDIS_URL SECONDS` reads the ids of jobs
from the first line of standard input, prints `ready`, waits for another line, and at the end prints
one line of JSON. For each job, this program appends EVENTS_PER_SECOND lines per second to the
journal (the file of events). `worker.attempt.Attempt` copies these lines to the database, writes
heartbeats and reads stop requests, as in a worker. Events wait in the journal while the database is
slow, so the next copy has more of them.
"""

import json
import logging
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from core.events.journal import JournalWriter
from core.events.types import EventData, MetricsData, ProgressData, now
from jobs.attempts import claim_next
from jobs.database import Database
from jobs.errors import Fenced
from jobs.notifier import JobNotifier
from jobs.resources import Offer, offer_row
from jobs.settings import Settings
from jobs.store import get_job
from jobs.tables import WorkerRow
from jobs.workers import REPORT_SECONDS, report_worker
from worker.attempt import Attempt

EVENTS_PER_SECOND = 2.0
THREADS = 4
DRAIN_SECONDS = 120.0
VALUES = {
    "train/loss": 3.2,
    "train/learning_rate": 5e-4,
    "train/grad_norm": 0.8,
    "throughput/tokens_per_second": 52_000.0,
    "memory/device_reserved_bytes": 2.1e9,
}
"""The values of a metrics event, as a run on a GPU reports them."""


@dataclass
class Figures:
    """The measurements of one thread."""

    sent: int = 0
    delays: list[float] = field(default_factory=list)
    """Seconds from each event to the commit of its row."""
    longest_gap: float = 0.0
    """Maximum seconds between two heartbeats of one job in the database."""
    leases_lost: int = 0


class Notifier(JobNotifier):
    """A notifier that also records when the events of a job are in the database."""

    def __init__(self, redis_url: str, figures: Figures) -> None:
        super().__init__(redis_url)
        self._figures = figures
        self.pending: dict[str, list[float]] = {}

    def notify(self, job_id: str) -> None:
        """Records the delays of the copied events; the supervisor calls this after each copy."""
        moment = time.monotonic()
        self._figures.delays += [moment - sent for sent in self.pending.pop(job_id, ())]
        super().notify(job_id)


class Run:
    """A running job, and the row of the worker that runs it."""

    def __init__(self, attempt: Attempt, slot: int) -> None:
        attempt.rundir.root.mkdir(parents=True)
        self.attempt, self.job_id = attempt, attempt.job_id
        self._journal = JournalWriter(attempt.rundir.journal)
        self._starts_at = float("inf")
        self._sent = 0
        self.reported_at = float("inf")
        self.row = WorkerRow(
            id=f"pilot-{self.job_id}",
            hostname=f"node-{slot}",
            machine="simulated",
            pid=1,
            queue="train",
            slots=1,
            devices=[{"kind": "cuda", "name": "simulated", "index": 0}],
            job_ids=[self.job_id],
            offer=offer_row(Offer(where="slurm", gpus=1, job_id=self.job_id)),
            started_at=now(),
            seen_at=now(),
        )

    def start(self, share: float) -> None:
        """Starts to send events, after a delay of `share` (0 to 1) of the time between two events.

        Each job has another share, so that the jobs do not all send at the same moment.
        """
        moment = time.monotonic()
        self._starts_at = moment + share / EVENTS_PER_SECOND
        self.reported_at = moment - share * REPORT_SECONDS

    def send(self, until: float) -> list[float]:
        """Appends the events that are due; returns their times."""
        due = int(max(0.0, until - self._starts_at) * EVENTS_PER_SECOND)
        times = []
        while self._sent < due:
            self._sent += 1
            self._journal.append(_event(self._sent))
            times.append(self._starts_at + self._sent / EVENTS_PER_SECOND)
        return times


def _event(number: int) -> EventData:
    step = number // 2
    if number % 2:
        share = step / 100_000
        return ProgressData(
            stage="train", progress=share, stage_progress=share, step=step, max_steps=100_000
        )
    tokens = step * 32_768
    return MetricsData(
        step=step, epoch=0.1, tokens_seen=tokens, words_seen=int(tokens / 1.5), values=VALUES
    )


class Workers(threading.Thread):
    """A thread that simulates a part of the workers.

    It calls `Attempt.tick` for each of its jobs at most once per `tick_seconds`.
    """

    def __init__(self, database: Database, settings: Settings, job_ids: list[str]) -> None:
        super().__init__()
        assert settings.redis_url is not None
        self.figures = Figures()
        self.is_done = False
        self._database, self._settings = database, settings
        self._notifier = Notifier(settings.redis_url, self.figures)
        self._runs = []
        for slot, job_id in enumerate(job_ids):
            with database.read() as session:
                job = get_job(session, job_id)
            job.attempt = 1  # `bench_scale` sets this in the database before the run starts
            self._runs.append(Run(Attempt(database, settings, self._notifier, job), slot))
        self.until = 0.0

    def run(self) -> None:
        """Sends events until the time `until`, and then copies the remaining events."""
        for number, run in enumerate(self._runs):
            run.start(number / len(self._runs))
        while time.monotonic() < self.until or self._notifier.pending:
            if time.monotonic() > self.until + DRAIN_SECONDS:
                break
            round_ends = time.monotonic() + self._settings.tick_seconds
            for run in self._runs:
                self._tick(run)
            time.sleep(max(0.0, round_ends - time.monotonic()))
        self._notifier.close()
        self.is_done = True

    def _tick(self, run: Run) -> None:
        sent = run.send(min(time.monotonic(), self.until))
        if sent:
            self.figures.sent += len(sent)
            self._notifier.pending.setdefault(run.job_id, []).extend(sent)
        silent = run.attempt.seconds_since_heartbeat()
        try:
            run.attempt.tick()
        except Fenced:
            self.figures.leases_lost += 1
            self._claim_again(run)
            return
        if run.attempt.seconds_since_heartbeat() < silent:
            self.figures.longest_gap = max(self.figures.longest_gap, silent)
        if time.monotonic() - run.reported_at >= REPORT_SECONDS:
            run.reported_at = time.monotonic()
            with suppress(SQLAlchemyError), self._database.write_relaxed() as session:
                report_worker(session, run.row)

    def _claim_again(self, run: Run) -> None:
        """Starts the next attempt of a job with a lost lease, to copy the rest of the journal."""
        with suppress(SQLAlchemyError):
            offer = Offer(where="slurm", job_id=run.job_id)
            with self._database.write() as session:
                job = claim_next(session, run.row.id, offer)
            if job is not None:
                run.attempt = Attempt(self._database, self._settings, self._notifier, job)


def main() -> None:
    """Runs the threads and prints their figures together."""
    runs_dir, database_url, redis_url, seconds = sys.argv[1:]
    logging.disable(logging.WARNING)  # a locked database is visible in the delays
    settings = Settings(
        _env_file=None, runs_dir=Path(runs_dir), database_url=database_url, redis_url=redis_url
    )
    database = Database(database_url, max_connections=THREADS)
    job_ids = sys.stdin.readline().split()
    threads = [Workers(database, settings, job_ids[first::THREADS]) for first in range(THREADS)]
    print("ready", flush=True)
    sys.stdin.readline()
    before = time.process_time()
    for thread in threads:
        thread.until = time.monotonic() + float(seconds)
        thread.start()
    for thread in threads:
        thread.join()
    assert all(thread.is_done for thread in threads), "a thread has failed, see the traceback"
    figures = [thread.figures for thread in threads]
    body = {
        "sent": sum(each.sent for each in figures),
        "delays": sorted(delay for each in figures for delay in each.delays),
        "longest_gap": max(each.longest_gap for each in figures),
        "leases_lost": sum(each.leases_lost for each in figures),
        "processor_seconds": time.process_time() - before,
    }
    print(json.dumps(body))


if __name__ == "__main__":
    main()
