"""The loop of a provisioner.

A provisioner submits a Slurm job, called a pilot, for each queued job that may run on Slurm. Two
further threads report that the provisioner is alive and sweep for lost workers.
"""

import logging
import os
import socket
import threading
from uuid import uuid4

from sqlalchemy.exc import SQLAlchemyError

from core.events.types import now
from jobs.database import Database
from jobs.placements import QUEUE
from jobs.private_settings import write_private_settings
from jobs.queue import QueueNotifier
from jobs.recovery import Sweeper, SweepThread
from jobs.settings import Settings
from jobs.slurm.client import Slurm
from jobs.slurm.provisioner import SETTINGS_FILE, Provisioner
from jobs.slurm.script import slurm_folder
from jobs.tables import WorkerRow
from jobs.workers import REPORT_SECONDS, remove_worker, report_worker

log = logging.getLogger(__name__)


def run_provisioner(settings: Settings, *, once: bool, shutdown: threading.Event) -> None:
    """Submits and tracks pilots until `shutdown` is set; with `once`, makes a single pass.

    Only this thread calls Slurm's programs, which may hang for longer than `lease_seconds`. So the
    reports and the sweep for lost workers run in their own threads.

    Raises:
        SlurmError: If the template is not usable.
        SchemaTooNew, SchemaTooOld: If the database has the schema of another version.
    """
    database = Database(settings.database_url)
    try:
        database.check_schema()
        slurm = Slurm(timeout_seconds=settings.slurm_timeout_seconds)
        provisioner = Provisioner(database, settings, slurm)
        write_private_settings(slurm_folder(settings) / SETTINGS_FILE, settings)
        row = _row(settings, once=once)
        if once:
            _report(database, row)
            provisioner.provision()
            return
        _repeat(provisioner, database, settings, row, shutdown)
        with database.write() as session:
            remove_worker(session, row.id)
    finally:
        database.dispose()


def _repeat(
    provisioner: Provisioner,
    database: Database,
    settings: Settings,
    row: WorkerRow,
    shutdown: threading.Event,
) -> None:
    notifier = QueueNotifier(settings.redis_url) if settings.redis_url else None
    sweeper = Sweeper(database, notifier=notifier, lease_seconds=settings.lease_seconds)
    sweep = SweepThread(sweeper, seconds=settings.sweep_seconds)
    sweep.start()

    def report() -> None:
        while not shutdown.is_set():
            try:
                _report(database, row)
            except SQLAlchemyError as error:
                log.warning("the database does not answer: %s", error)
            shutdown.wait(REPORT_SECONDS)

    reporter = threading.Thread(target=report, name="report", daemon=True)
    reporter.start()
    while not shutdown.is_set():
        try:
            provisioner.provision()
        except SQLAlchemyError:
            # The database is unavailable or full. The next pass reads all state again.
            log.exception("the database does not answer")
        shutdown.wait(settings.slurm_seconds)
    reporter.join()
    sweep.stop()
    if notifier is not None:
        notifier.close()


def _report(database: Database, row: WorkerRow) -> None:
    with database.write() as session:
        report_worker(session, row)


def _row(settings: Settings, *, once: bool) -> WorkerRow:
    """The row of this provisioner. With `once` (for cron), all passes of a host share a row."""
    host = socket.gethostname()
    return WorkerRow(
        id=f"{host}-slurm-{'once' if once else uuid4().hex[:8]}",
        hostname=host,
        machine=host[:64],
        pid=os.getpid(),
        queue=QUEUE,
        slots=settings.slurm_max_pilots,
        devices=[],
        job_ids=[],
        started_at=now(),
        seen_at=now(),
    )
