"""Asks for an evaluation and waits for its end."""

import sys
import time
from collections.abc import Callable
from urllib.parse import quote

from babylm.client import Client
from babylm.errors import CommandError
from babylm.wire import Body

LOOK_SECONDS = 0.5


def wait_for_evaluation(
    client: Client,
    job_id: str,
    checkpoint: str,
    task: str,
    *,
    sleep: Callable[[float], None] = time.sleep,
) -> Body:
    """The evaluation once it is done.

    Raises:
        CommandError: If it was refused, or failed.
    """
    from rich.console import Console
    from rich.progress import Progress

    path = f"/v1/jobs/{job_id}/checkpoints/{quote(checkpoint, safe='')}/evaluations"
    found: Body = client.call("POST", path, json={"task": task})
    with Progress(console=Console(stderr=True), disable=not sys.stderr.isatty()) as bar:
        line = bar.add_task(task, total=1.0)
        while found["status"] not in ("succeeded", "failed"):
            bar.update(line, completed=found["progress"])
            sleep(LOOK_SECONDS)
            entries = client.listing(f"/v1/jobs/{job_id}/evaluations")
            now = next((each for each in entries if each["id"] == found["id"]), None)
            if now is None:
                raise CommandError("the evaluation is gone: its job was deleted")
            found = now
        bar.update(line, completed=1.0)
    if found["status"] == "failed":
        error = found["error"] or {}
        raise CommandError(
            f"the evaluation failed: {error.get('message')}",
            hint=error.get("hint") or None,
            details={"evaluation": found},
        )
    return found
