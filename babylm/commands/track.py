"""The command that sends a run to experiment trackers."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from babylm.errors import CommandError, UsageError
from babylm.options import AsJson, Url, load_settings, open_client

if TYPE_CHECKING:
    from core.spec.tracking import TrackerName

JOURNAL = "events.jsonl"


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command()(track)


def track(
    job: Annotated[
        str,
        typer.Argument(
            metavar="JOB",
            help="Id of a job, the beginning of an id, `last`, or a run folder.",
            show_default=False,
        ),
    ],
    to: Annotated[
        list[str], typer.Option("--to", help="tensorboard, wandb or mlflow; may be repeated.")
    ],
    from_start: Annotated[
        bool, typer.Option("--from-start", help="Send all events of the run again.")
    ] = False,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Send the events of a run to experiment trackers, except events that were sent before.

    The command reads the run folder on this machine. You do not need it for a job with `tracking`
    in its spec, because the worker sends the events of such a job.
    """
    from babylm.output import print_json
    from babylm.tracking import send

    names = _known(to)
    folder = _run_folder(job, url)
    sent = {name: send(folder, name, from_start=from_start) for name in names}
    if as_json:
        print_json({name: {"events": found.events, "at": found.at} for name, found in sent.items()})
        return
    for name, found in sent.items():
        print(f"{name}: {found.events} events sent; {found.hint}")


def _known(names: list[str]) -> "list[TrackerName]":
    from core.spec.tracking import TRACKERS

    unknown = [name for name in names if name not in TRACKERS]
    if unknown:
        raise UsageError(
            f"--to {unknown[0]} is not a tracker", hint=f"The trackers are {', '.join(TRACKERS)}."
        )
    return [name for name in TRACKERS if name in names]


def _run_folder(job: str, url: str | None) -> Path:
    if (Path(job) / JOURNAL).is_file():
        return Path(job).resolve()
    with open_client(url) as client:
        found = client.job(job)
    folder = load_settings().job_folder(found.id).resolve()
    if not (folder / JOURNAL).is_file():
        raise CommandError(
            f"job {found.id} has no journal in {folder}",
            hint="Run the command where the run folder is, or set BABYLM_RUNS_DIR.",
        )
    return folder
