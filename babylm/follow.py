"""Shows a job on the screen until it ends."""

from collections.abc import Callable
from datetime import datetime

from babylm.client import Job
from babylm.client.wire import Event
from babylm.display import Display, display_for_output
from babylm.errors import INTERRUPTED, CommandError
from babylm.output import in_time, print_json_line, print_note


def follow_job(job: Job, *, as_json: bool = False) -> None:
    """Shows the job until it ends; Ctrl-C detaches and does not affect the job.

    Raises:
        JobFailed: If the job did not succeed.
        CommandError: If the user detached.
    """
    try:
        if as_json:
            for event in job.follow(on_break=lambda why: print_note(f"{why}; trying again")):
                print_json_line(event)
        else:
            watch_job(job)
    except KeyboardInterrupt as error:
        raise CommandError(
            f"detached; job {job.id} continues",
            hint=f"`babylm follow {job.id}` shows it again, `babylm cancel {job.id}` ends it.",
            status=INTERRUPTED,
        ) from error
    job.refresh()
    if job.status != "succeeded":
        raise job.failure()
    if not as_json:
        print(f"job {job.id} succeeded{_duration(job)}; get it with `babylm download {job.id}`")


def watch_job(
    job: Job,
    *,
    display: Display | None = None,
    on_event: Callable[[Event], None] = lambda _: None,
) -> None:
    """Shows the events of a job until the last one."""
    display = display or display_for_output()
    broken = False

    def on_break(reason: str) -> None:
        nonlocal broken
        if not broken:
            display.note(f"connection lost ({reason}); trying again")
        broken = True

    with display:
        for event in job.follow(on_break=on_break):
            if broken:
                display.note("connected again")
                broken = False
            display.show(event)
            on_event(event)


def _duration(job: Job) -> str:
    started, finished = job.data.get("started_at"), job.data.get("finished_at")
    if not started or not finished:
        return ""
    took = datetime.fromisoformat(finished) - datetime.fromisoformat(started)
    return f" after {in_time(took.total_seconds())}"
