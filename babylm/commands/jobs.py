"""Commands about jobs that are there: jobs, show, follow, logs, and what may be wished of them."""

from typing import Annotated

import typer

from babylm.options import AsJson, JobName, Url, open_client
from babylm.wire import Job


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    for command in (jobs, show, follow, logs, cancel, pause, resume, retry, delete):
        app.command()(command)


def jobs(
    status: Annotated[
        str | None, typer.Option("--status", help="Only jobs of this status, such as running.")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=10_000, help="Jobs at most.")] = 20,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """List jobs, newest first."""
    from babylm.output import age, in_time, print_json, print_table

    with open_client(url) as client:
        found = client.jobs(status=status, limit=limit)
    if as_json:
        print_json(found)
        return
    rows = [
        (
            job["id"],
            job.get("name") or "",
            job["status"],
            job.get("stage") or "",
            f"{job.get('progress') or 0.0:.0%}",
            in_time(job.get("eta_seconds")),
            age(job.get("created_at")),
        )
        for job in found
    ]
    columns = ("job", "name", "status", "stage", "done", "left", "submitted")
    print_table(columns, rows, empty="no jobs; submit one with `babylm submit --preset sample`")


def show(job: JobName, url: Url = None, as_json: AsJson = False) -> None:
    """Show one job with its checkpoints."""
    from babylm.output import in_bytes, print_json, print_table

    with open_client(url) as client:
        found = client.job(job)
        checkpoints = client.checkpoints(found["id"])
    if as_json:
        print_json({**found, "checkpoints": checkpoints})
        return
    _print_job(found)
    if not checkpoints:
        return
    print()
    rows = []
    for each in checkpoints:
        loss = each.get("validation_loss")
        rows.append(
            (
                each["name"],
                each["kind"],
                str(each["step"]),
                f"{each['words_seen']:,}",
                "" if loss is None else f"{loss:.4f}",
                in_bytes(sum(file["size"] for file in each["files"])),
            )
        )
    columns = ("checkpoint", "kind", "step", "words seen", "validation loss", "size")
    print_table(columns, rows, empty="")


def follow(job: JobName, url: Url = None, as_json: AsJson = False) -> None:
    """Follow a job with a progress bar.

    Ctrl-C detaches and leaves the job alone.
    """
    from babylm.follow import follow_job

    with open_client(url) as client:
        follow_job(client, client.job(job)["id"], as_json=as_json)


def logs(
    job: JobName,
    tail: Annotated[int, typer.Option("--tail", min=0, help="Number of last lines.")] = 200,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Print new lines too.")] = False,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Print the log of a job."""
    import httpx2 as httpx

    from babylm.errors import CommandError
    from babylm.output import print_json_line, printable

    with open_client(url) as client:
        path = f"/v1/jobs/{client.job(job)['id']}/logs"
        query = {"tail": str(tail), "follow": "true" if follow else "false"}
        silence = 3600.0 if follow else 60.0  # a long stage may say nothing for long
        try:
            with client.stream(path, params=query, read_seconds=silence) as answer:
                for line in answer.iter_lines():
                    if as_json:
                        print_json_line({"line": line})
                    else:
                        print(printable(line), flush=True)
        except httpx.TransportError as error:
            raise CommandError(f"the connection to {client.url} broke: {error}") from error


def cancel(job: JobName, url: Url = None, as_json: AsJson = False) -> None:
    """Cancel a queued, running or paused job."""
    _wish(job, "cancel", url, as_json)


def pause(job: JobName, url: Url = None, as_json: AsJson = False) -> None:
    """Pause a job; it checkpoints and frees the device."""
    _wish(job, "pause", url, as_json)


def resume(job: JobName, url: Url = None, as_json: AsJson = False) -> None:
    """Put a paused job back in the queue."""
    _wish(job, "resume", url, as_json)


def retry(job: JobName, url: Url = None, as_json: AsJson = False) -> None:
    """Put a failed or cancelled job back in the queue.

    It continues from its newest complete checkpoint.
    """
    _wish(job, "retry", url, as_json)


def delete(job: JobName, url: Url = None, as_json: AsJson = False) -> None:
    """Delete a finished job and everything that it made."""
    from babylm.output import print_json

    with open_client(url) as client:
        job_id = client.job(job)["id"]
        client.delete(job_id)
    if as_json:
        print_json({"deleted": job_id})
    else:
        print(f"job {job_id} deleted")


def _wish(name: str, wish: str, url: str | None, as_json: bool) -> None:
    from babylm.output import print_json

    with open_client(url) as client:
        job = client.act(client.job(name)["id"], wish)
    if as_json:
        print_json(job)
    else:
        print(f"job {job['id']}: asked to {wish}, now {job['status']}")


def _print_job(job: Job) -> None:
    from babylm.output import age, in_time, print_pairs

    error = job.get("error")
    latest = job.get("metrics") or {}
    values = latest.get("values", latest)
    figures = ", ".join(
        f"{name} {value:.4g}" for name, value in values.items() if isinstance(value, int | float)
    )
    waiting = job.get("waiting_for")
    print_pairs(
        [
            ("job", job["id"]),
            ("name", job.get("name") or ""),
            ("status", job["status"]),
            ("waits for", _words(waiting) if waiting else ""),
            ("stage", job.get("stage") or ""),
            ("progress", f"{job.get('progress') or 0.0:.0%}"),
            ("time left", in_time(job.get("eta_seconds"))),
            ("submitted", age(job.get("created_at"))),
            ("started", age(job.get("started_at"))),
            ("finished", age(job.get("finished_at"))),
            ("attempt", str(job.get("attempt", ""))),
            ("worker", job.get("worker") or ""),
            ("latest", figures),
            ("error", f"{error['message']} ({error['code']})" if error else ""),
            ("hint", error.get("hint", "") if error else ""),
        ]
    )


def _words(waiting: object) -> str:
    """What a queued job waits for, whether the service says it in words or as an object."""
    if isinstance(waiting, dict) and waiting.get("detail"):
        return f"{waiting['detail']} (number {waiting['position']} in the queue)"
    if isinstance(waiting, dict):
        waiting = {name: value for name, value in waiting.items() if value is not None}
        return ", ".join(f"{name} {value}" for name, value in waiting.items())
    return str(waiting)
