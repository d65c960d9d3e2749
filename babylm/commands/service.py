"""Commands that run parts of the service: serve, api, worker, migrate, demo."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from babylm.errors import CommandError, UsageError
from babylm.extras import require_training
from babylm.options import AsJson, load_service_settings

if TYPE_CHECKING:
    from jobs.settings import Settings


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    for command in (serve, api, worker, migrate, demo):
        app.command()(command)


def serve(
    host: Annotated[
        str | None, typer.Option("--host", help="Address  [default: BABYLM_HOST or 127.0.0.1]")
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(
            "--port",
            min=0,
            max=65535,
            help="Port, 0 for a free one  [default: BABYLM_PORT or 8000]",
        ),
    ] = None,
    socket: Annotated[
        Path | None,
        typer.Option(
            "--socket",
            help="Unix socket to listen on instead of a port  [default: BABYLM_SOCKET]",
            show_default=False,
        ),
    ] = None,
    workers: Annotated[
        int, typer.Option("--workers", min=1, max=64, help="Number of jobs to train at a time.")
    ] = 1,
    as_json: AsJson = False,
) -> None:
    """Run the API, workers and, without BABYLM_REDIS_URL, an embedded Redis until Ctrl-C."""
    import os

    from babylm.serve import Plan, default_commands
    from babylm.serve import serve as run

    require_training()
    settings = load_service_settings()
    socket = socket or settings.socket
    _check_socket(socket, has_port=host is not None or port is not None)
    api_command, worker_commands = default_commands(workers)
    run(
        Plan(
            runs_dir=settings.runs_dir,
            data_dir=settings.data_dir,
            host=host or settings.host,
            port=settings.port if port is None else port,
            redis_url=settings.redis_url,
            migrate=lambda: prepare(settings),
            api=api_command,
            workers=worker_commands,
            environment=dict(os.environ),
            as_json=as_json,
            socket=socket,
            notes=access_notes(settings, host or settings.host, socket),
        )
    )


def access_notes(settings: "Settings", host: str, socket: Path | None) -> list[str]:
    """Messages about other accounts that can use the service or its files."""
    from babylm.client.address import is_loopback
    from jobs.file_modes import folders_open_to_others

    notes = []
    if socket is None and not settings.api_keys and is_loopback(host):
        notes.append(
            "no key: every account of this host can use the service; on a shared host set "
            "BABYLM_API_KEY or BABYLM_SOCKET"
        )
    notes.append(f"new files get the umask {settings.umask} (BABYLM_UMASK)")
    notes += [
        f"other accounts can enter {path}, because the umask does not change existing folders; "
        f"`chmod -R go= {path}` keeps them out"
        for path in folders_open_to_others(settings)
    ]
    return notes


def _check_socket(path: Path | None, *, has_port: bool) -> None:
    from api.unix_socket import SocketUnavailable, check_socket

    if path is None:
        return
    if has_port:
        raise UsageError(
            f"the service can listen on the socket {path} or on a port, but both are given",
            hint="Leave out --host and --port, or unset BABYLM_SOCKET.",
        )
    try:
        check_socket(path.absolute())
    except SocketUnavailable as error:
        raise CommandError(str(error)) from error


def api() -> None:
    """Run only the API, as in Docker compose."""
    from importlib import import_module

    from babylm.database import check_database

    check_database(load_service_settings().database_url)
    import_module("api.main").run()


def worker(
    queue: Annotated[
        Literal["train", "short"],
        typer.Option("--queue", help="train: jobs; short: short tasks such as generating text."),
    ] = "train",
    slots: Annotated[
        int | None,
        typer.Option(
            "--slots",
            min=1,
            max=64,
            help="Number of jobs to run at a time  [default: BABYLM_NUM_SLOTS, or one per GPU]",
        ),
    ] = None,
    job: Annotated[
        str | None, typer.Option("--job", help="Take only the job with this id.")
    ] = None,
    exit_when_idle: Annotated[
        float | None,
        typer.Option(
            "--exit-when-idle", min=0.0, help="With --job: exit after this number of idle seconds."
        ),
    ] = None,
    settings_file: Annotated[
        Path | None,
        typer.Option(
            "--settings-file",
            help="Read the settings from this file, which must be yours and have mode 0600.",
        ),
    ] = None,
) -> None:
    """Run only one worker, as in Docker compose."""
    import os

    from babylm.database import check_database
    from core.process.program import python_command

    require_training()
    settings = load_service_settings()
    if (job is None) != (exit_when_idle is None):
        raise UsageError("--job and --exit-when-idle must be given together")
    if settings_file is None:  # if given, that file has the address of the database
        check_database(settings.database_url)
    options = {
        "--slots": slots,
        "--job": job,
        "--exit-when-idle": exit_when_idle,
        "--settings-file": settings_file,
    }
    command = python_command("worker", "--queue", queue)
    for name, value in options.items():
        if value is not None:
            command += [name, str(value)]
    os.execv(
        command[0], command
    )  # this process becomes the worker, so that the worker gets signals


def migrate(as_json: AsJson = False) -> None:
    """Migrate the database to the schema of this version."""
    from babylm.output import print_json

    _migrate(load_service_settings())
    if as_json:
        print_json({"migrated": True})
    else:
        print("the database is up to date")


def demo(
    folder: Annotated[
        Path, typer.Option("--folder", help="Folder for the runs and the corpus.")
    ] = Path("runs/demo"),
    as_json: AsJson = False,
) -> None:
    """Train the sample model and show what the model learned."""
    from babylm.demo import run_demo

    require_training()
    load_service_settings()
    run_demo(folder, as_json=as_json)


def _migrate(settings: "Settings") -> None:
    from babylm.database import database_errors
    from jobs.database import upgrade

    settings.runs_dir.mkdir(parents=True, exist_ok=True)
    with database_errors(settings.database_url):
        upgrade(settings.database_url)


def prepare(settings: "Settings") -> None:
    """Migrates the database and writes the sample corpus, so that you can train a first job.

    If the data folder is read-only, the sample corpus is not written.
    """
    from contextlib import suppress

    from core.sample import SAMPLE, write_sample

    _migrate(settings)
    if not (settings.data_dir / SAMPLE).is_dir():
        with suppress(OSError):
            write_sample(settings.data_dir)
