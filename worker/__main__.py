"""Starts a worker: python -m worker --queue train|short [--slots N].

`--job ID --exit-when-idle SECONDS` starts a pilot: a worker that Slurm starts, which claims only
that job and ends when it is idle.
"""

import argparse
import logging
import os
import signal
import sys
import threading
import time
from pathlib import Path

from core.process.program import python_command
from core.process.signals import handler_in_thread
from jobs.errors import JobsError, PlacementTaken
from jobs.file_modes import apply_umask
from jobs.private_settings import load_private_settings
from jobs.queue import QUEUES, TASKS, make_app
from jobs.settings import Settings
from worker.pilot import Pilot, slurm_id_from_environment
from worker.runtime import Commands, Worker

log = logging.getLogger("worker")

CELERY_SECONDS = 2.0
"""Maximum seconds for Celery to disconnect from the broker after its tasks have ended."""


def main(arguments: list[str] | None = None) -> int:
    """Runs a worker until SIGTERM or SIGINT; returns its exit status."""
    parser = argparse.ArgumentParser(prog="python -m worker")
    parser.add_argument("--queue", choices=QUEUES, default="train")
    parser.add_argument("--slots", type=int, default=None)
    parser.add_argument("--job", default=None, help="start a pilot, which claims only this job")
    parser.add_argument("--attempt", type=int, default=None)
    parser.add_argument("--exit-when-idle", type=float, default=None)
    parser.add_argument("--grace-seconds", type=float, default=None)
    parser.add_argument("--settings-file", type=Path, default=None)
    options = parser.parse_args(arguments)
    if (options.job is None) != (options.exit_when_idle is None):
        parser.error("--job and --exit-when-idle must be given together")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    try:
        settings = _settings(options)
    except JobsError as error:
        log.error("%s", error.message)
        return 1
    apply_umask(settings)
    pilot = _pilot(options)
    worker = Worker(settings, options.queue, commands(settings), slots=options.slots, pilot=pilot)
    shut_down = handler_in_thread(worker.shutdown.set)
    for number in (signal.SIGTERM, signal.SIGINT):  # Celery replaces these handlers
        signal.signal(number, shut_down)
    try:
        worker.start()
    except PlacementTaken as error:
        log.warning("%s", error.message)
        return 0
    except JobsError as error:
        log.error("%s", error.message)
        return 1
    log.info("worker %s with %d slots is ready", worker.id, worker.slots)
    try:
        # A pilot consumes no messages, because they are meant for other workers. It only polls.
        if settings.redis_url and pilot is None:
            consume(worker, settings.redis_url)
        else:
            worker.shutdown.wait()
    finally:
        worker.stop()
    log.info("worker %s has ended", worker.id)
    return 0


def _settings(options: argparse.Namespace) -> Settings:
    settings = load_private_settings(options.settings_file) if options.settings_file else Settings()
    if options.grace_seconds is None:
        return settings
    grace = options.grace_seconds
    longest = max(settings.grace_seconds, grace)
    return settings.model_copy(update={"shutdown_grace_seconds": grace, "grace_seconds": longest})


def _pilot(options: argparse.Namespace) -> Pilot | None:
    if options.job is None:
        return None
    return Pilot(
        job_id=options.job,
        exit_when_idle_seconds=options.exit_when_idle,
        attempt=options.attempt,
        slurm_id=slurm_id_from_environment(),
    )


def commands(settings: Settings) -> Commands:
    """The commands of the child processes, which run programs of `core`."""

    def run(folder: Path) -> list[str]:
        return python_command(
            "core.run",
            str(folder),
            "--data-dir",
            str(settings.data_dir.resolve()),
            "--cache-dir",
            str(settings.cache_folder.resolve()),
            "--supervised",
            "--lease-seconds",
            str(settings.lease_seconds),
        )

    return Commands(
        run=run,
        generate=python_command("core.short"),
        measure=python_command("core.training.execution.rate"),
    )


def consume(worker: Worker, broker_url: str) -> None:
    """Consumes Celery's messages until this process shuts down."""
    from celery.signals import worker_shutting_down

    app = make_app(broker_url)
    name = worker.queue_name

    @app.task(name=TASKS[name], ignore_result=True)  # type: ignore[untyped-decorator]
    def look_for_work() -> None:
        worker.take_work()

    # Celery calls this in its own signal handler.
    worker_shutting_down.connect(handler_in_thread(worker.shutdown.set), weak=False)
    threading.Thread(target=_end_with, args=(worker,), name="end", daemon=True).start()
    app.worker_main(
        [
            "worker",
            "--pool=threads",
            f"--concurrency={worker.slots}",
            f"--queues={name}",
            f"--hostname={worker.id}@%h",
            "--without-gossip",
            "--without-mingle",
            "--without-heartbeat",
            "--loglevel=WARNING",
        ]
    )


def _end_with(worker: Worker) -> None:
    """Ends this process after the worker has stopped, even if Celery has not stopped.

    If the broker is frozen, Celery waits for its answers for minutes and checks for signals only
    between two answers. At this point the worker no longer needs Celery.
    """
    worker.shutdown.wait()
    worker.stop()
    time.sleep(CELERY_SECONDS)
    log.warning("worker %s has ended; exiting while Celery waits for the broker", worker.id)
    logging.shutdown()
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main())
