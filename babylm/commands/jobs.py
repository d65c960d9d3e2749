"""Commands for jobs: jobs, show, follow, logs, cancel, pause, resume, retry, delete."""

from typing import Annotated

import typer

from babylm.options import AsJson, JobName, Url, open_client

PAGE_SIZE = 100


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    for command in (jobs, show, follow, logs, cancel, pause, resume, retry, delete):
        app.command()(command)


def jobs(
    status: Annotated[
        str | None,
        typer.Option("--status", help="List only jobs with this status, such as running."),
    ] = None,
    sort: Annotated[
        str | None,
        typer.Option(
            "--sort",
            help="Sort by this value, such as name, status, progress, validation/loss or "
            "evaluation/blimp; write -NAME for descending order.",
        ),
    ] = None,
    limit: Annotated[
        int, typer.Option("--limit", min=1, max=10_000, help="Maximum number of jobs.")
    ] = 20,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """List jobs, newest first.

    With `--sort`, jobs that do not have the value come last.
    """
    from babylm.jobs_table import job_rows, table_columns
    from babylm.output import print_json, print_table

    with open_client(url) as client:
        found = [job.data for job in client.jobs(status=status, sort=sort, limit=limit)]
        # Ids are cut to a prefix that is unique among the newest jobs; commands accept prefixes.
        is_newest = status is None and sort is None
        known = [] if is_newest else [job.data for job in client.jobs(limit=PAGE_SIZE)]
    if as_json:
        print_json(found)
        return
    empty = "no jobs; submit one with `babylm submit --preset sample`"
    rows = job_rows(found, known=known, sort=sort)
    print_table(table_columns(sort), rows, empty=empty, shortened="name")


def show(job: JobName, url: Url = None, as_json: AsJson = False) -> None:
    """Show one job with its checkpoints."""
    from babylm.job_page import print_job
    from babylm.output import print_json

    with open_client(url) as client:
        found = client.job(job)
        checkpoints = [each.data for each in found.checkpoints.values()]
    if as_json:
        print_json({**found.data, "checkpoints": checkpoints})
    else:
        print_job(found.data, checkpoints)


def follow(job: JobName, url: Url = None, as_json: AsJson = False) -> None:
    """Follow a job with a progress bar.

    Ctrl-C ends only this command; the job continues.
    """
    from babylm.follow import follow_job

    with open_client(url) as client:
        follow_job(client.job(job), as_json=as_json)


def logs(
    job: JobName,
    tail: Annotated[
        int, typer.Option("--tail", min=0, help="Number of lines to print, from the end.")
    ] = 200,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Print new lines too.")] = False,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Print the log of a job."""
    import httpx2 as httpx

    from babylm.errors import CommandError
    from babylm.output import print_json_line, printable

    with open_client(url) as client:
        found = client.job(job)
        path = f"/v1/jobs/{found.id}/logs"
        query = {"tail": str(tail), "follow": "true" if follow else "false"}
        silence = 3600.0 if follow else 60.0  # a long stage may print nothing for a long time
        try:
            with client.stream(path, params=query, read_seconds=silence) as answer:
                for line in answer.iter_lines():
                    if as_json:
                        print_json_line({"line": line})
                    else:
                        print(printable(line), flush=True)
        except httpx.TransportError as error:
            raise CommandError(f"the connection to {client.url} broke: {error}") from error
        if follow and not found.refresh().is_over:
            raise CommandError(
                f"{client.url} ended the log before the job ended",
                hint="The service is probably shutting down. The job continues when it runs again.",
            )


def cancel(job: JobName, url: Url = None, as_json: AsJson = False) -> None:
    """Cancel a queued, running or paused job."""
    _act(job, "cancel", url, as_json)


def pause(job: JobName, url: Url = None, as_json: AsJson = False) -> None:
    """Pause a job. A running job first saves a checkpoint; then it frees its device."""
    _act(job, "pause", url, as_json)


def resume(job: JobName, url: Url = None, as_json: AsJson = False) -> None:
    """Put a paused job back in the queue, or withdraw the pause request of a running job."""
    _act(job, "resume", url, as_json)


def retry(job: JobName, url: Url = None, as_json: AsJson = False) -> None:
    """Put a failed or cancelled job back in the queue.

    The job continues from its newest complete checkpoint.
    """
    _act(job, "retry", url, as_json)


def delete(job: JobName, url: Url = None, as_json: AsJson = False) -> None:
    """Delete a job that has succeeded, failed or been cancelled, and all its files."""
    from babylm.output import print_json

    with open_client(url) as client:
        found = client.job(job)
        found.delete()
    if as_json:
        print_json({"deleted": found.id})
    else:
        print(f"job {found.id} deleted")


def _act(name: str, action: str, url: str | None, as_json: bool) -> None:
    from babylm.output import print_json

    with open_client(url) as client:
        job = client.job(name).act(action)
    if as_json:
        print_json(job.data)
    else:
        print(f"job {job.id}: asked to {action}, now {job.status}")
