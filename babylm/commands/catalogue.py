"""The commands `presets` and `workers`."""

import typer

from babylm.client.wire import Body
from babylm.options import AsJson, Url, open_client

WORKER_COLUMNS = ("worker", "queue", "device", "runs", "seen")


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    for command in (presets, workers):
        app.command()(command)


def presets(url: Url = None, as_json: AsJson = False) -> None:
    """List the named starting points for a spec."""
    from babylm.output import print_json, print_table

    with open_client(url) as client:
        found = client.listing("/v1/presets")
    if as_json:
        print_json(found)
        return
    rows = [(str(each.get("name", "")), str(each.get("description", ""))) for each in found]
    print_table(("preset", "what it is"), rows, empty="no presets")


def workers(url: Url = None, as_json: AsJson = False) -> None:
    """List the live workers with their devices and jobs."""
    from babylm.output import print_json, print_table

    with open_client(url) as client:
        found = client.listing("/v1/workers")
    if as_json:
        print_json(found)
        return
    empty = "no worker is alive; `babylm serve` starts one"
    print_table(WORKER_COLUMNS, worker_rows(found), empty=empty)


def worker_rows(workers: list[Body]) -> list[tuple[str, ...]]:
    """A row for each worker."""
    from babylm.output import age

    return [
        (
            str(each.get("name") or each.get("id") or ""),
            str(each.get("queue") or ""),
            _device(each),
            _running(each),
            age(each.get("seen_at") or each.get("last_seen_at")),
        )
        for each in workers
    ]


def _device(worker: Body) -> str:
    devices = worker.get("devices", worker.get("device"))
    if not isinstance(devices, list):
        devices = [devices] if devices else []
    return ", ".join(
        str(each.get("name", each)) if isinstance(each, dict) else str(each) for each in devices
    )


def _running(worker: Body) -> str:
    running = worker.get("jobs", worker.get("job_id", worker.get("running")))
    if not isinstance(running, list):
        running = [running] if running else []
    return ", ".join(
        str(each.get("id", each)) if isinstance(each, dict) else str(each) for each in running
    )
