"""Commands for submissions to the BabyLM challenge: submission, push, budget."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from babylm.options import AsJson, JobName, Url, open_client

if TYPE_CHECKING:
    from babylm.client import Client, wire

SHOWN = 20

CheckpointOption = Annotated[
    str, typer.Option("--checkpoint", help="Name of the checkpoint that becomes the branch main.")
]
NoEvaluations = Annotated[
    bool, typer.Option("--no-evaluations", help="Do not run missing evaluations; only list them.")
]


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    app.command()(submission)
    app.command()(push)
    app.command()(budget)


def submission(
    job: JobName,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Folder for the submission  [default: JOB-submission]"),
    ] = None,
    repository: Annotated[
        str | None,
        typer.Option("--name", help="USER/NAME on the Hugging Face Hub  [default: local/JOB]"),
    ] = None,
    checkpoint: CheckpointOption = "last",
    no_evaluations: NoEvaluations = False,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Build a submission to the BabyLM challenge and download its folder.

    The command runs the missing evaluations, checks every milestone, and lists the predictions that
    are still missing.

    The folder is a Hub cache (HF_HUB_CACHE) and a Git repository with one branch per milestone. If
    the transfer is interrupted, the same command continues it.
    """
    from babylm.client.errors import BabylmError
    from babylm.output import in_bytes, print_json, print_note

    with open_client(url) as client:
        found = client.job(job)
        folder = output or Path(f"{found.id}-submission")
        name = repository or f"local/{found.id[:8]}"
        report = fetch_submission(
            client, found.id, name, folder, checkpoint=checkpoint, evaluate=not no_evaluations
        )
    if as_json:
        print_json({"folder": str(folder), **report})
        return
    size = sum(path.stat().st_size for path in _large_files(folder))
    print(f"{name} in {folder}: {len(report['revisions'])} branches, weights {in_bytes(size)}")
    for line in report_lines(report):
        print_note(line)
    if not report["complete"] and report["missing"]:
        raise BabylmError(
            f"the submission lacks {len(report['missing'])} predictions",
            hint="The folder has the models and the existing predictions; see its report.json.",
        )


def push(
    job: JobName,
    to: Annotated[str, typer.Option("--to", help="USER/NAME of a new or existing repository.")],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Folder for the files  [default: JOB-submission]"),
    ] = None,
    checkpoint: CheckpointOption = "last",
    private: Annotated[
        bool, typer.Option("--private", help="Make the repository private if it is new.")
    ] = False,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Upload the final model and every milestone to the Hugging Face Hub, each as a branch.

    The command uses your token (HF_TOKEN or `hf auth login`), which never reaches the service. If
    the upload is interrupted, the same command continues it. The command runs no evaluations;
    `babylm submission` does.
    """
    from babylm.hub_push import find_token, push_folder
    from babylm.output import print_json, print_note

    token = find_token()
    with open_client(url) as client:
        found = client.job(job)
        folder = output or Path(f"{found.id}-submission")
        report = fetch_submission(
            client, found.id, to, folder, checkpoint=checkpoint, evaluate=False
        )
    address = push_folder(
        folder,
        to,
        token=token,
        private=private,
        on_branch=lambda branch: print_note(f"branch {branch}"),
    )
    if as_json:
        print_json({"repository": to, "url": address, "branches": len(report["revisions"])})
    else:
        print(f"{address}: {len(report['revisions'])} branches")


def budget(job: JobName, url: Url = None, as_json: AsJson = False) -> None:
    """Show a job's number of words for each source, and whether the job keeps its track's rules.

    The exit status is 1 if a rule is broken.
    """
    from babylm.client.errors import BabylmError
    from babylm.output import print_json, print_table

    with open_client(url) as client:
        found = client.call("GET", f"/v1/jobs/{client.job(job).id}/budget")
    if as_json:
        print_json(found)
    else:
        rows = [
            (each["source"], _number(each["words_before"]), _number(each["words"]), each["licence"])
            for each in found["sources"]
        ]
        total = ("all", _number(found["words_before"]), _number(found["words"]), "")
        columns = ("source", "words before", "words", "licence")
        print_table(columns, [*rows, total], empty="")
        verdicts = {True: "kept", False: "BROKEN", None: "not decided"}
        for rule in found["rules"]:
            print(f"{rule['name'].replace('_', ' ')}: {verdicts[rule['holds']]}, {rule['detail']}")
    broken = [rule["name"] for rule in found["rules"] if rule["holds"] is False]
    if broken:
        raise BabylmError(f"the job breaks rules of its track: {', '.join(broken)}")


def _number(value: int | None) -> str:
    return "" if value is None else f"{value:,}"


def fetch_submission(
    client: "Client", job_id: str, repository: str, folder: Path, *, checkpoint: str, evaluate: bool
) -> "wire.Body":
    """Builds a submission with a progress bar, downloads it, and returns its report."""
    from babylm.client._sync.submission import build_submission, download_submission
    from babylm.progress import byte_bar, share_bar

    with share_bar("submission") as share:
        report = build_submission(
            client,
            job_id,
            repository,
            checkpoint=checkpoint,
            evaluate=evaluate,
            advance=lambda found: share(found["progress"]),
        )
    with byte_bar("download", None) as advance:
        download_submission(client, job_id, folder, advance=advance)
    return report


def report_lines(report: "wire.Body") -> list[str]:
    """Lines about missing parts, files that are not the official ones, and warnings."""
    lines = []
    if report["not_reached"]:
        lines.append(f"milestones not reached: {', '.join(report['not_reached'])}")
    by_reason: dict[tuple[str, str], list[str]] = {}
    for each in report["missing"]:
        by_reason.setdefault((each["task"], each["reason"]), []).append(each["checkpoint"])
    missing = [
        f"missing: {task} of {_some(names)}: {reason}"
        for (task, reason), names in by_reason.items()
    ]
    differences = [f"not the official file: {each}" for each in report["differences"]]
    for part in (missing, differences, [f"warning: {each}" for each in report["warnings"]]):
        lines += part[:SHOWN]
        if len(part) > SHOWN:
            lines.append(f"and {len(part) - SHOWN} more; see report.json")
    return lines


def _some(names: list[str]) -> str:
    return ", ".join(names) if len(names) <= 3 else f"{names[0]} and {len(names) - 1} more"


def _large_files(folder: Path) -> list[Path]:
    return list(folder.glob("models--*/blobs/" + "[0-9a-f]" * 64))
