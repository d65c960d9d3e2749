"""The rows of `babylm jobs` and `babylm top`: a short id and the main values of each job."""

from collections.abc import Iterable, Sequence

from babylm.client.figures import metric_value, short_ids
from babylm.client.wire import Job
from babylm.output import age, in_time

COLUMNS = ("job", "name", "status", "stage", "done", "loss", "left", "submitted")
LOSSES = ("train/loss", "validation/loss")


def job_rows(jobs: Sequence[Job], *, known: Iterable[Job] = ()) -> list[tuple[str, ...]]:
    """A row for each job.

    Args:
        jobs: The jobs to show.
        known: Further jobs; the short ids must also differ from the ids of these jobs.
    """
    names = short_ids([job["id"] for job in (*jobs, *known)])
    return [
        (
            names[job["id"]],
            job.get("name") or "",
            job["status"],
            (job.get("stage") or "") if job["status"] == "running" else "",
            f"{job.get('progress') or 0.0:.0%}",
            _loss(job),
            in_time(job.get("eta_seconds")),
            age(job.get("created_at")),
        )
        for job in jobs
    ]


def _loss(job: Job) -> str:
    values = (job.get("metrics") or {}).get("values", {})
    for name in LOSSES:
        if isinstance(values.get(name), int | float):
            return metric_value(name, values[name])
    return ""
