"""Options that several commands share, and functions that evaluate them."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from babylm.errors import UsageError

if TYPE_CHECKING:
    from babylm.client import Client
    from jobs.settings import Settings

OTHER_VARIABLES = {"BABYLM_URL", "BABYLM_DEMO_FLAGS"}
"""Variables that are not in `Settings`: the command line and the Makefile read them."""
TEST_PREFIXES = ("BABYLM_TRY_", "BABYLM_TEST_")

COMPLETED_JOBS = 50
NO_KEY = ""
"""Value of `api_key` with which a client sends no key, even if the environment has one."""

Url = Annotated[
    str | None,
    typer.Option(
        "--url",
        envvar="BABYLM_URL",
        help="Address of the service  [default: the service of this runs folder]",
        show_default=False,
    ),
]
DataDir = Annotated[
    Path | None, typer.Option("--data-dir", help="Folder of corpora  [default: BABYLM_DATA_DIR]")
]
CacheDir = Annotated[
    Path | None,
    typer.Option("--cache-dir", help="Folder of cached results  [default: RUNS_DIR/cache]"),
]


def complete_job(incomplete: str) -> list[tuple[str, str]]:
    """Short ids of the newest jobs for the shell's completion, each with name and status."""
    from babylm.client import BabylmError
    from babylm.client.figures import short_ids

    try:
        with open_client(os.environ.get("BABYLM_URL")) as client:
            jobs = client.jobs(limit=COMPLETED_JOBS)
    except BabylmError:
        return []
    names = short_ids([job.id for job in jobs])
    found = [(names[job.id], f"{job.name} {job.status}".strip()) for job in jobs]
    return [each for each in [*found, ("last", "the newest")] if each[0].startswith(incomplete)]


AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
JobName = Annotated[
    str,
    typer.Argument(
        metavar="JOB",
        help="Id of a job, the beginning of an id, or `last`.",
        show_default=False,
        autocompletion=complete_job,
    ),
]


def load_settings() -> "Settings":
    """The settings from the environment and `.env`.

    Raises:
        UsageError: If a setting is not valid, or `.env` cannot be read.
    """
    from pydantic import ValidationError

    from babylm.text_files import not_utf8
    from jobs.settings import Settings

    try:
        return Settings()
    except ValidationError as error:
        lines = [
            f"  BABYLM_{'_'.join(str(part) for part in item['loc']).upper()}: {item['msg']}"
            for item in error.errors()
        ]
        raise UsageError("\n".join(["the settings are not valid", *lines])) from error
    except UnicodeDecodeError as error:
        raise not_utf8(
            Path(".env").absolute(),
            error.object,
            error.start,
            kind="it must have one setting a line, such as BABYLM_PORT=8000",
            hint="Correct the file or remove it.",
        ) from error


def require_data_dir(given: Path | None) -> None:
    """Checks that the folder that `--data-dir` names exists.

    Raises:
        UsageError: If the option is given and there is no such folder.
    """
    if given is not None and not given.is_dir():
        fault = "is not a folder" if given.exists() else "does not exist"
        raise UsageError(
            f"--data-dir {given} {fault}", hint="Name the folder that contains the datasets."
        )


def load_service_settings() -> "Settings":
    """Like `load_settings`, for commands that create files of the service.

    Applies the umask of the settings and prints a note about each unknown variable.
    """
    from jobs.file_modes import apply_umask

    settings = load_settings()
    apply_umask(settings)
    for note in mistyped_variables():
        print(f"babylm: {note}", file=sys.stderr)
    return settings


def mistyped_variables() -> list[str]:
    """A sentence for each unknown `BABYLM_` variable in the environment and in `.env`."""
    from difflib import get_close_matches

    from dotenv import dotenv_values

    from babylm.generate_settings_docs import FOR_COMPOSE
    from jobs.settings import Settings

    known = {f"BABYLM_{name.upper()}" for name in Settings.model_fields}
    known |= {variable.name for variable in FOR_COMPOSE} | OTHER_VARIABLES
    given = {name for name in {**dotenv_values(".env"), **os.environ} if _is_ours(name)}
    notes = []
    for name in sorted(given - known):
        near = get_close_matches(name, known, n=1)
        meant = f"; did you mean {near[0]}?" if near else ""
        notes.append(f"{name} is not a setting and has no effect{meant}")
    return notes


def _is_ours(name: str) -> bool:
    return name.startswith("BABYLM_") and not name.startswith(TEST_PREFIXES)


def open_client(url: str | None) -> "Client":
    """A client of the service at `url`.

    If `url` is None, the address is `BABYLM_URL`, or else that of the running service of the runs
    folder, or else that in the settings. The client sends the key in the settings only to the
    address that it uses without `url`. `Client` follows the same rules.
    """
    from babylm.client import Client
    from babylm.client.discovery import key_for, running_service

    settings = load_settings()
    service = (
        os.environ.get("BABYLM_URL")
        or running_service(settings.runs_dir)
        or default_address(settings)
    )
    address = url or service
    key = settings.api_keys[0] if settings.api_keys else None
    return Client(address, api_key=key_for(address, key, service=service) or NO_KEY)


def default_address(settings: "Settings") -> str:
    """The address at which the API listens according to the settings."""
    from babylm.client.discovery import address_of, socket_address

    if settings.socket is not None:
        return socket_address(settings.socket)
    return address_of(settings.host, settings.port)
