"""Follows a job to its end on the screen."""

from collections.abc import Callable

from babylm.client import Client
from babylm.display import Display, display_for_output
from babylm.errors import FAILED, INTERRUPTED, CommandError
from babylm.output import in_time, print_json_line, print_note
from babylm.sse import follow_events
from babylm.wire import Event, Job


def follow_job(client: Client, job_id: str, *, as_json: bool = False) -> None:
    """Shows the job until it ends; Ctrl-C detaches and leaves the job alone.

    Raises:
        CommandError: If the job did not succeed, or the user detached.
    """
    try:
        if as_json:
            _print_events(client, job_id)
        else:
            watch_job(client, job_id)
    except KeyboardInterrupt as error:
        raise CommandError(
            f"detached; job {job_id} goes on",
            hint=f"`babylm follow {job_id}` shows it again, `babylm cancel {job_id}` ends it.",
            status=INTERRUPTED,
        ) from error
    job = client.job(job_id)
    if job["status"] != "succeeded":
        raise failure_of(job)
    if not as_json:
        print(f"job {job_id} succeeded{_duration(job)}; get it with `babylm download {job_id}`")


def watch_job(
    client: Client,
    job_id: str,
    *,
    display: Display | None = None,
    on_event: Callable[[Event], None] = lambda _: None,
) -> None:
    """Draws the events of a job until the last one."""
    display = display or display_for_output()
    broken = False

    def on_break(reason: str) -> None:
        nonlocal broken
        if not broken:
            display.note(f"connection lost ({reason}); trying again")
        broken = True

    with display:
        for event in follow_events(client, job_id, on_break=on_break):
            if broken:
                display.note("connected again")
                broken = False
            display.show(event)
            on_event(event)


def _print_events(client: Client, job_id: str) -> None:
    for event in follow_events(client, job_id, on_break=lambda why: print_note(f"{why}; retrying")):
        print_json_line(event)


def failure_of(job: Job) -> CommandError:
    """What to say about a job that did not succeed."""
    error = job.get("error")
    status = job["status"]
    if error is None:
        return CommandError(f"job {job['id']} {status}", status=FAILED, details=dict(job))
    return CommandError(
        f"job {job['id']} {status}: {error['message']} ({error['code']})",
        hint=error.get("hint"),
        details=dict(job),
    )


def _duration(job: Job) -> str:
    from datetime import datetime

    started, finished = job.get("started_at"), job.get("finished_at")
    if not started or not finished:
        return ""
    took = datetime.fromisoformat(finished) - datetime.fromisoformat(started)
    return f" after {in_time(took.total_seconds())}"
