"""What `babylm show` prints: one job, its latest metrics and its checkpoints."""

from collections.abc import Sequence
from datetime import datetime

from babylm.client.figures import metric_title, metric_value
from babylm.client.wire import Checkpoint, Job
from babylm.output import age, in_bytes, in_time, print_pairs, print_table
from babylm.watch import at_step


def print_job(job: Job, checkpoints: Sequence[Checkpoint]) -> None:
    """Prints the job, its latest metrics and its checkpoints."""
    error = job.get("error")
    waiting = job.get("waiting_for")
    print_pairs(
        [
            ("job", job["id"]),
            ("name", job.get("name") or ""),
            ("status", job["status"]),
            ("waiting for", waiting_words(waiting) if waiting else ""),
            ("stage", job.get("stage") or ""),
            ("progress", _progress(job)),
            ("time left", in_time(job.get("eta_seconds"))),
            ("submitted", age(job.get("created_at"))),
            ("started", age(job.get("started_at"))),
            ("finished", _finished(job)),
            ("attempt", str(job.get("attempt", ""))),
            ("worker", job.get("worker") or ""),
            ("error", f"{error['message']} ({error['code']})" if error else ""),
            ("hint", error.get("hint", "") if error else ""),
        ]
    )
    latest = job.get("metrics") or {}
    values = latest.get("values", latest)
    steps, step = latest.get("steps", {}), latest.get("step")
    rows = [
        (metric_title(name), at_step(metric_value(name, value), steps.get(name), step))
        for name, value in values.items()
        if isinstance(value, int | float)
    ]
    if rows:
        print()
        shown = "" if step is None else f", step {step:,}"
        print_table((f"latest metrics{shown}", ""), rows, empty="")
    if checkpoints:
        print()
        _print_checkpoints(checkpoints)


def waiting_words(waiting: object) -> str:
    """What a queued job waits for, as text. The service sends either a text or an object."""
    if isinstance(waiting, dict) and waiting.get("detail"):
        return f"{waiting['detail']} (number {waiting['position']} in the queue)"
    if isinstance(waiting, dict):
        waiting = {name: value for name, value in waiting.items() if value is not None}
        return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in waiting.items())
    return str(waiting)


def _print_checkpoints(checkpoints: Sequence[Checkpoint]) -> None:
    rows = []
    for each in checkpoints:
        loss = each.get("validation_loss")
        rows.append(
            (
                each["name"],
                each["kind"],
                f"{each['step']:,}",
                f"{each['words_seen']:,}",
                "" if loss is None else f"{loss:.4f}",
                in_bytes(sum(file["size"] for file in each["files"])),
            )
        )
    columns = ("checkpoint", "kind", "step", "words seen", "validation loss", "size")
    print_table(columns, rows, empty="")


def _progress(job: Job) -> str:
    share = f"{job.get('progress') or 0.0:.0%}"
    step, total = job.get("step"), job.get("max_steps")
    return f"{share}, step {step:,} of {total:,}" if step is not None and total else share


def _finished(job: Job) -> str:
    started, finished = job.get("started_at"), job.get("finished_at")
    if not started or not finished:
        return age(finished)
    took = datetime.fromisoformat(finished) - datetime.fromisoformat(started)
    return f"{age(finished)}, after {in_time(took.total_seconds())}"
