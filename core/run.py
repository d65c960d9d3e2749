"""Trains the run in a folder. The worker starts this program; you can also start it in a shell.

    python -m core.run FOLDER --data-dir data --cache-dir runs/cache

FOLDER contains `spec.json`. The same command starts a run and continues an interrupted one.
"""

import argparse
import faulthandler
import logging
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from pydantic import ValidationError

from core.errors import (
    CRASHED,
    DiskFull,
    ExitCode,
    RankDied,
    RunError,
    RunLocked,
    SpecInvalid,
    Stopped,
)
from core.events.journal import JournalWriter
from core.events.paths import shorten_paths
from core.events.types import ErrorData
from core.pipeline import run_pipeline
from core.process.failures import named_failure
from core.process.stop import DEADLINE_SHARE, LEASE_SECONDS, SILENCE_SHARE, StopSignal
from core.spec.estimate import estimate
from core.spec.job import JobSpec
from core.spec.stored import read_stored_spec
from core.stages.context import Run
from core.storage.cache import Cache
from core.storage.rundir import RunDir, locked

GIB = 2**30

log = logging.getLogger("core.run")


def main(arguments: list[str] | None = None) -> int:
    """Trains the run in the folder; returns an exit status, see `core.errors.ExitCode`."""
    options = folder_parser("core.run", __doc__.splitlines()[0]).parse_args(arguments)
    return run_folder(options, run_pipeline)


def run_folder(options: argparse.Namespace, work: Callable[[Run], None]) -> int:
    """Calls `work` with the run in `options.folder`; returns an exit status like `main`."""
    faulthandler.enable()
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stdout
    )
    # Before the first step, the process exits at once on a stop request. Stages publish their
    # results atomically, so no result is lost, and a user who cancels does not wait for the import
    # of torch.
    stop = StopSignal(leave=lambda: os._exit(ExitCode.STOPPED))
    stop.on_signals()
    if options.supervised:
        stop.watch_supervisor(
            silence_seconds=options.lease_seconds * SILENCE_SHARE,
            deadline_seconds=options.lease_seconds * DEADLINE_SHARE,
        )
    rundir = RunDir(options.folder.resolve())
    try:
        with locked(rundir), JournalWriter(rundir.journal) as journal:
            return _run(rundir, journal, stop, options, work)
    except RunLocked as error:
        log.warning("%s", error)
        return ExitCode.LOCKED


def folder_parser(program: str, description: str) -> argparse.ArgumentParser:
    """A parser with the options of a program that works in a run folder."""
    parser = argparse.ArgumentParser(prog=f"python -m {program}", description=description)
    parser.add_argument("folder", type=Path, help="run folder that contains spec.json")
    parser.add_argument("--data-dir", type=Path, default=Path("data"), help="folder of corpora")
    parser.add_argument(
        "--cache-dir",
        type=Path,
        default=Path("runs/cache"),
        help="folder of the results that runs share",
    )
    parser.add_argument(
        "--supervised",
        action="store_true",
        help="stop if standard input closes or receives no heartbeats, which means that the "
        "supervisor is lost",
    )
    parser.add_argument(
        "--lease-seconds",
        type=float,
        default=LEASE_SECONDS,
        help="with --supervised: maximum seconds from the last heartbeat to the exit",
    )
    return parser


def _run(
    rundir: RunDir,
    journal: JournalWriter,
    stop: StopSignal,
    options: argparse.Namespace,
    work: Callable[[Run], None],
) -> int:
    try:
        run = Run(
            spec=_read_spec(rundir),
            rundir=rundir,
            data_dir=options.data_dir.resolve(),
            cache=Cache(options.cache_dir.resolve()),
            journal=journal,
            stop=stop,
        )
        warn_of_low_disk(run)
        work(run)
    except Stopped:
        log.info("stopped: %s", stop.reason)
        return ExitCode.STOPPED
    except Exception as error:  # recorded in the journal; the worker decides whether to retry
        failure = named_failure(error, rundir.root)
        roots = [rundir.root, options.data_dir.resolve(), options.cache_dir.resolve()]
        if failure is None:
            return _crashed(journal, error, roots)
        return _failed(journal, failure, roots)
    finally:
        _sync(journal)
    return ExitCode.FINISHED


def warn_of_low_disk(run: Run) -> None:
    """Warns if the checkpoints of the run need more disk space than is free."""
    if run.spec.task == "tokenizer":
        return  # the estimate is for training a model, which this job does not do
    needed = estimate(run.spec, words=None).disk_bytes
    free = shutil.disk_usage(run.rundir.root).free
    if needed > free:
        run.warn(
            "disk_low",
            f"the checkpoints of this run need about {needed / GIB:,.1f} GiB, but only "
            f"{free / GIB:,.1f} GiB are free; if the disk becomes full, the run fails with "
            "disk_full and can be retried",
        )


def _read_spec(rundir: RunDir) -> JobSpec:
    try:
        content = rundir.spec.read_bytes()
        return read_stored_spec(content).resolve()
    except FileNotFoundError as error:
        raise SpecInvalid(f"{rundir.spec} does not exist") from error
    except ValidationError as error:
        raise SpecInvalid(f"{rundir.spec} is not a valid spec: {error}") from error


def _failed(journal: JournalWriter, error: RunError, roots: list[Path]) -> int:
    log.error("%s: %s", error.code, error.message, exc_info=error)
    message = shorten_paths(error.message, roots=roots)
    _record(journal, ErrorData(code=error.code, message=message, hint=error.hint))
    return ExitCode.DISK_FULL if isinstance(error, DiskFull) else ExitCode.FAILED


def _crashed(journal: JournalWriter, error: Exception, roots: list[Path]) -> int:
    log.exception("crashed")
    if isinstance(error, RankDied):
        _record(journal, ErrorData(code=error.code, message=str(error), hint=error.hint))
        return CRASHED
    message = shorten_paths(f"{type(error).__name__}: {error}", roots=roots)
    hint = "This is a bug in the service; the log of the job contains the traceback."
    _record(journal, ErrorData(code="internal_error", message=message[:2000], hint=hint))
    return CRASHED


def _record(journal: JournalWriter, data: ErrorData) -> None:
    try:
        journal.append(data)
    except OSError as error:  # disk full: only the exit status and the log report the error
        log.error("the journal cannot be written: %s", error)


def _sync(journal: JournalWriter) -> None:
    try:
        journal.sync()
    except OSError as error:
        log.error("the journal cannot be synced: %s", error)


if __name__ == "__main__":
    sys.exit(main())
