"""Commands about studies: study, studies, study-show, and the actions on a whole study."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from babylm.commands.submit import Key, Preset, Setting, SpecFile, resolve_from_job
from babylm.options import AsJson, Url, open_client

if TYPE_CHECKING:
    from babylm.client import Study

StudyName = Annotated[
    str,
    typer.Argument(
        metavar="STUDY",
        help="Id of a study, the beginning of an id, or `last`.",
        show_default=False,
    ),
]
Grid = Annotated[
    list[str] | None,
    typer.Option(
        "--grid",
        metavar="FIELD=VALUE,...",
        help="Values of a field of the spec, such as training.learning_rate=1e-4,5e-4; may be "
        "repeated. The first values form the baseline, with which other conditions are compared.",
    ),
]


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    app.command()(study)
    app.command()(studies)
    app.command("study-show")(study_show)
    app.command("study-seeds")(study_seeds)
    app.command("study-cancel")(study_cancel)
    app.command("study-resume")(study_resume)
    app.command("study-delete")(study_delete)


def study(
    spec: SpecFile = None,
    preset: Preset = None,
    settings: Setting = None,
    grid: Grid = None,
    seeds: Annotated[
        str,
        typer.Option("--seeds", help="Number of seeds, or a list such as 0,7,42."),
    ] = "1",
    name: Annotated[str | None, typer.Option("--name", help="Name of the study.")] = None,
    follow: Annotated[
        bool, typer.Option("--follow", help="Wait until all jobs have ended.")
    ] = False,
    idempotency_key: Key = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Submit a study: a job for each condition of a grid and each seed."""
    from babylm.output import print_json
    from babylm.specs import build_spec, parse_grid
    from babylm.study_page import follow_study, print_study

    body = build_spec(file=spec, preset=preset, settings=settings or [], flat={})
    values = parse_grid(grid or [])
    with open_client(url) as client:
        resolve_from_job(client, body)
        made = client.study(
            body, name=name, grid=values, seeds=_seeds(seeds), idempotency_key=idempotency_key
        )
        if not as_json:
            print(f"study {made.id}\ndashboard: {made.url}", flush=True)
        if follow:
            follow_study(made)
        if as_json:
            print_json(made.data)
        elif follow:
            print_study(made.data)
        else:
            print(f"{made.data['num_members']} jobs; see them with `babylm study-show {made.id}`")
        if follow:
            _require_success(made)


def studies(
    limit: Annotated[
        int, typer.Option("--limit", min=1, max=1000, help="Maximum number of studies.")
    ] = 20,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """List studies, newest first."""
    from babylm.output import print_json
    from babylm.study_page import print_studies

    with open_client(url) as client:
        found = [each.data for each in client.studies(limit=limit)]
    if as_json:
        print_json(found)
    else:
        print_studies(found)


def study_show(
    study: StudyName,
    csv: Annotated[bool, typer.Option("--csv", help="Print a line of CSV for each job.")] = False,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Show a study: a table of its conditions, and its jobs."""
    from babylm.output import print_json
    from babylm.study_page import print_study

    with open_client(url) as client:
        found = client.find_study(study)
        if csv:
            print(found.csv(), end="")
        elif as_json:
            print_json(found.data)
        else:
            print_study(found.data)


def study_seeds(
    study: StudyName,
    seeds: Annotated[
        str,
        typer.Argument(help="New total number of seeds, or a list of seeds to add, such as 7,42."),
    ],
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Add seeds to each condition of a study."""
    from babylm.output import print_json

    with open_client(url) as client:
        found = client.find_study(study).add_seeds(_seeds(seeds))
    if as_json:
        print_json(found.data)
    else:
        listed = ", ".join(str(seed) for seed in found.data["seeds"])
        print(f"study {found.id}: seeds {listed}, {found.data['num_members']} jobs")


def study_cancel(study: StudyName, url: Url = None, as_json: AsJson = False) -> None:
    """Cancel all jobs of a study that have not ended."""
    _act(study, "cancel", url, as_json)


def study_resume(study: StudyName, url: Url = None, as_json: AsJson = False) -> None:
    """Put paused, failed and cancelled jobs of a study back in the queue."""
    _act(study, "resume", url, as_json)


def study_delete(study: StudyName, url: Url = None, as_json: AsJson = False) -> None:
    """Delete a study, its jobs and their files. All jobs must have ended."""
    from babylm.output import print_json

    with open_client(url) as client:
        found = client.find_study(study)
        found.delete()
    if as_json:
        print_json({"deleted": found.id})
    else:
        print(f"study {found.id} deleted")


def _act(name: str, action: str, url: str | None, as_json: bool) -> None:
    from babylm.output import print_json
    from babylm.study_page import counts_text

    with open_client(url) as client:
        found = client.find_study(name)
        found = found.cancel() if action == "cancel" else found.resume()
    if as_json:
        print_json(found.data)
    else:
        print(f"study {found.id}: asked to {action}, now {counts_text(found.counts)}")


def _seeds(text: str) -> Any:  # an int or a list of ints
    """A number of seeds; a list of seeds if `text` contains a comma: `7,` is a list of one seed."""
    from babylm.errors import UsageError

    parts = [part.strip() for part in text.split(",") if part.strip()]
    if not parts or not all(part.isdigit() for part in parts):
        raise UsageError(
            f"--seeds {text!r} is neither a number nor a list of numbers",
            hint="For example --seeds 3, or --seeds 0,7,42. For the seed 7 alone: --seeds 7,",
        )
    numbers = [int(part) for part in parts]
    return numbers if "," in text else numbers[0]


def _require_success(study: "Study") -> None:
    from babylm.errors import CommandError
    from babylm.study_page import counts_text

    if set(study.counts) - {"succeeded"}:
        raise CommandError(
            f"study {study.id}: {counts_text(study.counts)}",
            hint=f"`babylm study-show {study.id}` lists the jobs; `babylm study-resume {study.id}` "
            "starts failed and cancelled ones again.",
        )
