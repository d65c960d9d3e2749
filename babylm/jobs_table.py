"""The rows of `babylm jobs` and `babylm top`: a short id and the main values of each job."""

from collections.abc import Iterable, Sequence

from babylm.client.figures import metric_value, short_ids
from babylm.client.wire import Job
from babylm.output import age, in_time

COLUMNS = ("job", "name", "status", "stage", "done", "loss", "left", "submitted")
LOSSES = ("train/loss", "validation/loss")


def table_columns(sort: str | None = None) -> tuple[str, ...]:
    """The columns; a metric by which the jobs are sorted has a column of its own."""
    metric = _sorted_metric(sort)
    return COLUMNS if metric is None else (*COLUMNS, metric)


def job_rows(
    jobs: Sequence[Job], *, known: Iterable[Job] = (), sort: str | None = None
) -> list[tuple[str, ...]]:
    """A row for each job.

    Args:
        jobs: The jobs to show.
        known: Further jobs; the short ids are unique among `jobs` and these jobs.
        sort: The order of the jobs, see `table_columns`.
    """
    metric = _sorted_metric(sort)
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
            *([] if metric is None else [_value(job, metric)]),
        )
        for job in jobs
    ]


def _sorted_metric(sort: str | None) -> str | None:
    """The metric that `sort` names; None if it names another value, such as `status`."""
    name = (sort or "").removeprefix("-")
    return name if "/" in name else None


def _loss(job: Job) -> str:
    return next((text for name in LOSSES if (text := _value(job, name))), "")


def _value(job: Job, name: str) -> str:
    value = (job.get("metrics") or {}).get("values", {}).get(name)
    return metric_value(name, value) if isinstance(value, int | float) else ""
