"""Commands that start workers on a cluster: provision slurm."""

from typing import TYPE_CHECKING, Annotated

import typer

from babylm.errors import CommandError, UsageError
from babylm.options import load_service_settings

if TYPE_CHECKING:
    from jobs.settings import Settings

PROGRAMS = ("sbatch", "squeue", "scancel")


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    group = typer.Typer(no_args_is_help=True)
    group.callback()(_workers_from_a_cluster)  # otherwise typer drops the name of a single command
    group.command()(slurm)
    app.add_typer(group, name="provision")


def _workers_from_a_cluster() -> None:
    """Start workers on a cluster."""


def slurm(
    once: Annotated[bool, typer.Option("--once", help="Run one pass and exit, for cron.")] = False,
) -> None:
    """Submit a Slurm job for each queued job that is allowed on the cluster; track the Slurm jobs.

    The command runs until Ctrl-C, on any host that has Slurm's programs and the shared folders.
    """
    import logging
    import signal
    import threading
    from importlib import import_module

    from core.process.signals import handler_in_thread

    settings = load_service_settings()
    _require_cluster(settings)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    shutdown = threading.Event()
    stop = handler_in_thread(shutdown.set)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    loop, errors = import_module("jobs.slurm.loop"), import_module("jobs.errors")
    try:
        loop.run_provisioner(settings, once=once, shutdown=shutdown)
    except errors.JobsError as error:
        raise CommandError(error.message) from error


def _require_cluster(settings: "Settings") -> None:
    import shutil

    if settings.database_url.startswith("sqlite"):
        raise UsageError(
            f"BABYLM_DATABASE_URL is {settings.database_url}, but workers run on other hosts, "
            "which cannot share a SQLite file",
            hint="Use Postgres; `babylm db copy` moves the jobs there. See docs/how-to/slurm.md.",
        )
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    if missing:
        raise CommandError(
            f"{', '.join(missing)} not found on the path",
            hint="Run this command on a submit host of the cluster.",
        )
