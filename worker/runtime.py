"""A worker: runs jobs or short tasks in its slots, reports its state, sweeps, and shuts down.

A slot is a place for one running job. A sweep requeues running jobs without heartbeats after their
lease has expired.
"""

import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from sqlalchemy.exc import SQLAlchemyError

from core.events.types import now
from core.process.threads import thread_environment
from core.storage.rundir import boot_id, try_lock
from jobs.attempts import claim_next, reap, running_jobs
from jobs.database import Database
from jobs.deletion import finish_deletions
from jobs.errors import PlacementTaken
from jobs.notifier import JobNotifier
from jobs.queue import QueueName, QueueNotifier
from jobs.recovery import Sweeper, SweepThread
from jobs.resources import offer_row
from jobs.settings import Settings
from jobs.short_tasks import claim_short_task
from jobs.tables import Job, WorkerRow
from jobs.workers import REPORT_SECONDS, remove_worker, report_worker
from worker.devices import list_devices, num_gpus
from worker.offer import make_offer
from worker.pilot import LOOK_SECONDS, IdleWatch, Pilot, enter_pilot, is_needed
from worker.rates import Rates, measure_rates, rates_file, read_rates, with_rates
from worker.short import ShortRunner
from worker.slots import Slot, Slots
from worker.supervisor import CommandFor, Supervisor

log = logging.getLogger(__name__)

MEASURE_IDLE_SECONDS = 20.0
"""Seconds for which the worker must be idle before it measures the speed of its devices. During a
job the measured speed would be too low, and the measurement would slow down the job."""
FALLBACK_POLLS = 4
"""Factor by which the slots poll less often if there is a broker, which wakes them up. They still
poll, because the broker may lose a message."""


@dataclass(frozen=True)
class Commands:
    """The commands of the child processes; tests pass smaller programs."""

    run: CommandFor
    generate: Sequence[str]
    measure: Sequence[str] | None = None
    """Prints the speed of the devices. None: the worker does not measure the speed."""


class Worker:
    """Claims jobs or short tasks from the database while a slot is free."""

    def __init__(
        self,
        settings: Settings,
        queue_name: QueueName,
        commands: Commands,
        *,
        slots: int | None,
        pilot: Pilot | None = None,
    ) -> None:
        self.shutdown = threading.Event()
        self.queue_name = queue_name
        self._settings = settings
        self._commands = commands
        self._database = Database(settings.database_url)
        self._devices = list_devices()
        gpus = num_gpus(self._devices)
        wanted = slots or settings.num_slots or max(1, gpus)
        self.slots = wanted if queue_name == "train" and pilot is None else 1
        self._pilot = pilot
        self._idle = IdleWatch(pilot.exit_when_idle_seconds if pilot else 0.0)
        self._offer = make_offer(self._devices, self.slots, pilot)
        threads = thread_environment(os.environ, slots=self.slots)
        self._slots = Slots(self._devices, self.slots, threads)
        self._slot_environment = threads
        self._rates: Rates = {}
        self._job_notifier = JobNotifier(settings.redis_url)
        self._notifier = QueueNotifier(settings.redis_url) if settings.redis_url else None
        self._running: set[str] = set()
        self._lock = threading.Lock()
        self._stopping, self._is_stopped = threading.Lock(), False
        self.id = f"{socket.gethostname()}-{queue_name}-{uuid4().hex[:8]}"
        self._row = self._make_row()
        self._threads: list[threading.Thread] = []
        self._sweeper = SweepThread(
            Sweeper(self._database, notifier=self._notifier, lease_seconds=settings.lease_seconds),
            seconds=settings.sweep_seconds,
        )
        self._short = ShortRunner(
            database=self._database,
            settings=settings,
            job_notifier=self._job_notifier,
            command=commands.generate,
            shutdown=self.shutdown,
        )

    def start(self) -> None:
        """Starts the threads that poll for work, report and sweep.

        Raises:
            SchemaTooNew, SchemaTooOld: If the database has the schema of another version.
            PlacementTaken: If another Slurm job was started for the same placement.
        """
        self._database.check_schema()
        if self._pilot and not enter_pilot(self._database, self._pilot, self.id):
            raise PlacementTaken(self._pilot.job_id, self._pilot.slurm_id)
        self._folder = self._settings.workers_folder / boot_id()
        self._alive = _hold(self._folder / self.id)
        self._report()
        self._requeue_jobs_of_dead_workers()
        finish_deletions(self._database, self._settings)
        polls = FALLBACK_POLLS if self._notifier is not None else 1
        seconds = self._settings.poll_seconds * polls
        for number in range(self.slots):
            self._spawn(f"slot-{number}", lambda: self._repeat(self.take_work, seconds))
        self._spawn("report", lambda: self._repeat(self._report, REPORT_SECONDS))
        if self.queue_name == "train" and self._pilot is None:
            # A daemon thread, not joined: it must not delay the end of the worker.
            threading.Thread(target=self._measure, name="measure", daemon=True).start()
        if self._pilot is None:
            self._sweeper.start()
        else:  # a thousand pilots may run, so they do not sweep
            self._spawn("idle", lambda: self._repeat(self._end_when_idle, LOOK_SECONDS))

    def take_work(self) -> None:
        """Claims and runs jobs or short tasks as long as a slot is free and the queue has work."""
        while not self.shutdown.is_set():
            slot = self._slots.take()
            if slot is None:
                return
            try:
                worked = self._one(slot)
            finally:
                self._slots.give_back(slot)
            if not worked:
                return

    def stop(self) -> None:
        """Stops all child processes after their current step and requeues their jobs.

        Returns when this is done. A second call waits for the end of the first call.
        """
        self.shutdown.set()
        with self._stopping:
            if not self._is_stopped:
                self._stop()
                self._is_stopped = True

    def _stop(self) -> None:
        for thread in self._threads:
            thread.join()
        self._sweeper.stop()
        self._short.close()
        with suppress(SQLAlchemyError), self._database.write() as session:
            remove_worker(session, self.id)
        self._alive.unlink(missing_ok=True)
        self._job_notifier.close()
        if self._notifier is not None:
            self._notifier.close()
        self._database.dispose()

    def _one(self, slot: Slot) -> bool:
        """Claims and runs a job or task; False if there was none."""
        job, task = None, None
        if self.queue_name == "train":
            job = self._claim(slot)
        else:
            with self._database.write() as session:
                task = claim_short_task(session, self.id)
        if job is not None:
            with self._holding(job.id), self._idle:
                Supervisor(
                    database=self._database,
                    settings=self._settings,
                    job_notifier=self._job_notifier,
                    command_for=self._commands.run,
                    shutdown=self.shutdown,
                    environment=dict(slot.environment),
                ).run(job)
        if task is not None:
            with self._holding(task.job_id) if task.job_id else nullcontext():
                self._short.run(task)
        return job is not None or task is not None

    def _claim(self, slot: Slot) -> Job | None:
        """Claims the next job if it fits into the free memory of the slot's GPU."""
        with self._slots.claiming:
            free = self._slots.free_bytes(slot)
            with self._database.write() as session:
                job = claim_next(session, self.id, self._offer, free_bytes=free)
            if job is not None:
                self._slots.claim(slot, job.device_bytes)
        return job

    def _end_when_idle(self) -> None:
        assert self._pilot is not None
        needed = is_needed(self._database, self._pilot.job_id)
        if self._idle.is_over() or (self._idle.is_idle() and not needed):
            self.shutdown.set()

    def _holding(self, job_id: str) -> "_Holding":
        return _Holding(self._running, self._lock, job_id)

    def _repeat(self, work: Callable[[], None], seconds: float) -> None:
        while not self.shutdown.is_set():
            try:
                work()
            except SQLAlchemyError:  # the database is locked or full; the next call tries again
                log.exception("the database does not answer")
            except Exception:  # otherwise the thread would end, and its slot would be lost
                log.exception("unexpected error in thread %s", threading.current_thread().name)
            self.shutdown.wait(seconds)

    def _spawn(self, name: str, work: Callable[[], None]) -> None:
        thread = threading.Thread(target=work, name=name, daemon=True)
        thread.start()
        self._threads.append(thread)

    def _make_row(self) -> WorkerRow:
        return WorkerRow(
            id=self.id,
            hostname=socket.gethostname(),
            machine=boot_id(),
            pid=os.getpid(),
            queue=self.queue_name,
            slots=self.slots,
            devices=self._devices,
            job_ids=[],
            offer=offer_row(self._offer),
            started_at=now(),
            seen_at=now(),
        )

    def _report(self) -> None:
        with self._lock:
            self._row.job_ids = sorted(self._running)
        self._row.devices = with_rates(list_devices(), self._rates)
        with self._database.write_relaxed() as session:
            report_worker(session, self._row)

    def _measure(self) -> None:
        """Reads the speed of the devices from the cache, or measures it once the worker is idle."""
        command = self._commands.measure
        file = rates_file(self._settings.workers_folder, self._devices, self._slot_environment)
        rates = read_rates(file)
        if rates is None and command is not None and self._is_idle_for(MEASURE_IDLE_SECONDS):
            rates = measure_rates(file, command=command, environment=self._slot_environment)
        self._rates = rates or {}

    def _is_idle_for(self, seconds: float) -> bool:
        """Waits until no job has run for `seconds`; False if the worker shuts down first."""
        began = time.monotonic()
        while time.monotonic() - began < seconds:
            if self.shutdown.wait(LOOK_SECONDS):
                return False
            if self._running:
                began = time.monotonic()
        return True

    def _requeue_jobs_of_dead_workers(self) -> None:
        """Requeues jobs of dead workers of this machine at once, instead of after the lease.

        Each worker locks a file, and the kernel releases the lock when the worker ends. Each
        machine has its own folder of such files: on some shared file systems a host does not see
        the locks of other hosts, and live workers would look dead.
        """
        with self._database.read() as session:
            held = [
                (job.id, job.attempt, job.heartbeat, job.worker_id) for job in running_jobs(session)
            ]
        for job_id, attempt, beat, worker_id in held:
            if worker_id and _is_dead(self._folder / worker_id):
                with self._database.write() as session:
                    if reap(session, job_id, attempt=attempt, beat=beat) is not None:
                        log.warning("job %s: its worker %s is dead", job_id, worker_id)
        for path in self._folder.iterdir():
            if _is_dead(path):
                path.unlink(missing_ok=True)


class _Holding:
    """Lists a job in the row of the worker while the job runs."""

    def __init__(self, running: set[str], lock: threading.Lock, job_id: str) -> None:
        self._running, self._lock, self._job_id = running, lock, job_id

    def __enter__(self) -> None:
        with self._lock:
            self._running.add(self._job_id)

    def __exit__(self, *error: object) -> None:
        with self._lock:
            self._running.discard(self._job_id)


def _hold(path: Path) -> Path:
    """Creates a file and locks it until this process ends."""
    path.parent.mkdir(parents=True, exist_ok=True)
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try_lock(file, without_locks=True)
    return path


def _is_dead(path: Path) -> bool:
    """True if the file exists and is not locked, which means that the worker has ended."""
    try:
        file = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        return try_lock(file, without_locks=False)
    finally:
        os.close(file)
