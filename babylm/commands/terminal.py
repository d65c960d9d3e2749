"""The commands `open`, `top` and `doctor`."""

from typing import TYPE_CHECKING, Annotated

import typer

from babylm.options import AsJson, Url, complete_job, load_settings, open_client

if TYPE_CHECKING:
    from rich.console import Group

    from babylm.client import Client
    from babylm.doctor import Finding

MARKS = {"ok": "ok", "note": "note", "wrong": "WRONG"}


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    app.command("open")(open_page)
    app.command()(top)
    app.command()(doctor)


def open_page(
    job: Annotated[
        str | None,
        typer.Argument(
            metavar="[JOB]",
            help="Id of a job, the beginning of an id, or `last`  [default: all jobs]",
            show_default=False,
            autocompletion=complete_job,
        ),
    ] = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Open the dashboard in a browser, optionally on the page of a job."""
    import webbrowser

    from babylm.errors import CommandError
    from babylm.output import print_json

    with open_client(url) as client:
        page = client.job(job).url if job is not None else f"{client.url}/"
    if page.startswith("unix:"):
        raise CommandError(
            "a browser cannot open a Unix socket",
            hint=f"ssh -L 8000:{page.removeprefix('unix:').partition('/#')[0].rstrip('/')} HOST, "
            "then open http://localhost:8000/",
        )
    if as_json:
        print_json({"url": page})
        return
    print(page, flush=True)
    webbrowser.open(page)


def top(
    seconds: Annotated[
        float, typer.Option("--seconds", min=0.2, help="Time between two updates.")
    ] = 2.0,
    limit: Annotated[
        int, typer.Option("--limit", min=1, max=100, help="Maximum number of jobs.")
    ] = 15,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Show jobs and workers, updated until Ctrl-C.

    If the output is not a terminal, the command prints the tables once and ends.
    """
    import time

    from rich.console import Console
    from rich.live import Live

    from babylm.client import ServiceUnreachable
    from babylm.output import print_json, print_note

    console = Console(highlight=False)
    with open_client(url) as client:
        if as_json:
            jobs = [job.data for job in client.jobs(limit=limit)]
            print_json({"jobs": jobs, "workers": client.workers()})
            return
        if not console.is_terminal:
            console.print(_overview(client, limit, console.width))
            return
        with Live(_overview(client, limit, console.width), console=console, screen=True) as live:
            while True:
                time.sleep(seconds)
                try:
                    live.update(_overview(client, limit, console.width), refresh=True)
                except ServiceUnreachable as error:
                    print_note(error.message)


def doctor(as_json: AsJson = False) -> None:
    """Check this machine; for each problem, print the command that fixes it."""
    from dataclasses import asdict

    from babylm.doctor import examine, report
    from babylm.errors import FAILED
    from babylm.output import print_json

    found: list[Finding] = []
    wrong = report(examine(load_settings()), found.append if as_json else _print_finding)
    if as_json:
        print_json([asdict(finding) for finding in found])
    elif wrong:
        print(f"\nproblems to fix: {wrong}")
    else:
        print("\nnothing is wrong")
    if wrong:
        raise typer.Exit(FAILED)


def _overview(client: "Client", limit: int, width: int) -> "Group":
    from rich.console import Group
    from rich.text import Text

    from babylm.commands.catalogue import WORKER_COLUMNS, worker_rows
    from babylm.jobs_table import COLUMNS, job_rows
    from babylm.output import make_table

    jobs = [job.data for job in client.jobs(limit=limit)]
    running = sum(job["status"] == "running" for job in jobs)
    queued = sum(job["status"] == "queued" for job in jobs)
    return Group(
        Text(f"{client.url}  {running} running, {queued} queued", "dim"),
        Text(""),
        make_table(COLUMNS, job_rows(jobs), width=width, shortened="name"),
        Text(""),
        make_table(WORKER_COLUMNS, worker_rows(client.workers()), width=width),
    )


def _print_finding(finding: "Finding") -> None:
    from babylm.output import printable

    print(f"{MARKS[finding.state]:<6} {finding.what:<12} {printable(finding.detail)}", flush=True)
    if finding.fix and finding.state != "ok":
        print(f"       {'':<12} fix: {finding.fix}", flush=True)
