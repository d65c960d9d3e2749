"""Routes for the events of a job, the event stream, metrics and the log."""

import csv
import io
from collections.abc import AsyncIterator, Iterator
from contextlib import nullcontext
from typing import Annotated, Literal

from fastapi import Depends, Header, Query, Request
from pydantic import BeforeValidator, Field, WithJsonSchema
from starlette.exceptions import HTTPException
from starlette.responses import Response, StreamingResponse

from api.deps import InContext, JobId, Reading
from api.description import event_responses, text_responses
from api.errors import Problem
from api.log import follow_log, tail_log
from api.routing import ThreadRouter
from api.schemas import WITHOUT_NUL, EventPage, MetricsRead, RunsMetricsRead, SeriesRead, read_event
from api.stream import PAGE_EVENTS, EventStream, Page, encode_page, follow
from core.events.types import PAYLOADS
from jobs import store
from jobs.history import events_after
from jobs.series import MAX_POINTS, Series, metric_names, metric_series
from jobs.states import FINAL
from jobs.tables import Job

router = ThreadRouter("events")

TYPES_PATTERN = "^(({0})(,({0}))*)?$".format("|".join(PAYLOADS))
"""Pattern of the parameter `types` in the API description. The route itself checks the types in
another way, for a better error message."""
MAX_SEQ = 2**31 - 1
MAX_NAMES = 100
MAX_RUNS = 100

LastEventId = Annotated[
    Annotated[int, Field(ge=0, le=MAX_SEQ)] | None,
    BeforeValidator(lambda given: None if given == "" else given),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer", "minimum": 0, "maximum": MAX_SEQ},
                {"type": "string", "maxLength": 0},
            ]
        }
    ),
    Header(description="`seq` of the last event that the client received; empty if it has none."),
]


@router.get("/jobs/{job_id}/events")
def events(
    job_id: JobId,
    session: Reading,
    after: Annotated[int, Query(ge=0, le=MAX_SEQ)] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 1000,
    types: Annotated[
        str | None, Query(max_length=200, json_schema_extra={"pattern": TYPES_PATTERN})
    ] = None,
) -> EventPage:
    """The events with a `seq` above `after`, in order; `types=stage,sample` selects types."""
    store.require_job(session, job_id)
    wanted = types.split(",") if types else ()
    if unknown := [name for name in wanted if name not in PAYLOADS]:
        message = f"there is no such type; the types are: {', '.join(PAYLOADS)}"
        raise Problem(422, "type_unknown", message, fields=[("types", message, unknown)])
    found = events_after(session, job_id, after, limit=limit, types=wanted)
    return EventPage(data=[read_event(event) for event in found])


async def stream_place(request: Request, context: InContext) -> AsyncIterator[None]:
    """Counts an open stream until its response is complete; refuses a stream beyond the limit."""
    with context.streams.opened(request.client.host if request.client else ""):
        yield


async def job_to_follow(
    job_id: JobId, context: InContext, last_event_id: LastEventId = None
) -> str:
    """Checks the job before the stream begins, while another HTTP status can still be sent."""

    def is_complete() -> bool:
        with context.database.read() as session:
            job = store.get_job(session, job_id)
            seen = -1 if last_event_id is None else last_event_id
            return job.status in FINAL and seen >= job.last_seq

    if await context.reads.run(is_complete):
        raise HTTPException(204)  # stops an EventSource from reconnecting
    return job_id


@router.get(
    "/jobs/{job_id}/events/stream",
    response_class=EventStream,
    responses=event_responses("EventRead")
    | {204: {"description": "The job has ended, and `Last-Event-ID` is its last event."}},
    dependencies=[Depends(stream_place)],
)
async def stream(
    job_id: Annotated[str, Depends(job_to_follow)],
    context: InContext,
    after: Annotated[int, Query(ge=0, le=MAX_SEQ)] = 0,
    last_event_id: LastEventId = None,
) -> EventStream:
    """The events of a job as server-sent events: first past events, then each new event."""

    def look(seq: int) -> Page:
        with context.database.read() as session:
            job = session.get(Job, job_id)
            found = events_after(session, job_id, seq, limit=PAGE_EVENTS)
        last = found[-1].seq if found else seq
        has_ended = job is None or (job.status in FINAL and last >= job.last_seq)
        return encode_page(found, after=seq, has_ended=has_ended)

    start = after if last_event_id is None else last_event_id
    chunks = follow(
        look, after=start, watchers=context.watchers, job_id=job_id, bulkhead=context.follows
    )
    return EventStream(chunks)


@router.get(
    "/jobs/{job_id}/metrics", response_model=MetricsRead, responses=text_responses("text/csv")
)
def metrics(
    job_id: JobId,
    session: Reading,
    names: Annotated[str | None, Query(max_length=4000, pattern=WITHOUT_NUL)] = None,
    after_step: Annotated[int, Query(ge=-1, le=MAX_SEQ)] = -1,
    before_step: Annotated[int | None, Query(ge=0, le=MAX_SEQ)] = None,
    max_points: Annotated[int, Query(ge=4, le=10_000)] = MAX_POINTS,
    extremes: Annotated[bool, Query()] = True,
    format: Annotated[Literal["json", "csv"], Query()] = "json",
) -> MetricsRead | Response:
    """Series of metrics by step, thinned to at most `max_points` points each.

    `names` selects metrics; the default is all metrics. By default, thinning keeps the peaks, so it
    must read every point. With `extremes=false` it keeps points at equal distances, and need not
    read the others, so it is faster for long runs.
    """
    store.require_job(session, job_id)
    wanted = names.split(",") if names else metric_names(session, job_id)
    found = metric_series(
        session,
        job_id,
        wanted[:MAX_NAMES],
        after_step=after_step,
        before_step=before_step,
        max_points=max_points,
        extremes=extremes,
    )
    if format == "csv":
        return Response(_csv(found), media_type="text/csv")
    return _read_metrics(found)


@router.get("/metrics")
def metrics_of_runs(
    session: Reading,
    jobs: Annotated[str, Query(max_length=33 * MAX_RUNS, pattern=WITHOUT_NUL)],
    names: Annotated[str, Query(max_length=4000, pattern=WITHOUT_NUL)] = "train/loss",
    max_points: Annotated[int, Query(ge=4, le=2000)] = 60,
) -> RunsMetricsRead:
    """Series of metrics of several jobs (`jobs=ID,ID`) in one response. Omits unknown jobs."""
    wanted = names.split(",")[:MAX_NAMES]
    found = store.existing(session, jobs.split(",")[:MAX_RUNS])
    return RunsMetricsRead(
        jobs={
            job_id: _read_metrics(metric_series(session, job_id, wanted, max_points=max_points))
            for job_id in found
        }
    )


async def log_to_follow(
    request: Request, context: InContext, follow: Annotated[bool, Query()] = False
) -> AsyncIterator[bool]:
    """Counts a followed log as an open stream, so that the limit on streams applies to it."""
    place = context.streams.opened(request.client.host if request.client else "")
    with place if follow else nullcontext():
        yield follow


@router.get("/jobs/{job_id}/logs", response_class=Response, responses=text_responses("text/plain"))
def logs(
    job_id: JobId,
    context: InContext,
    session: Reading,
    follow: Annotated[bool, Depends(log_to_follow)],
    tail: Annotated[int, Query(ge=0, le=100_000)] = 200,
) -> Response:
    """The last lines of the log. With `follow`, also all further lines until the job ends."""
    store.require_job(session, job_id)
    session.close()  # reading the log may take long
    path = context.settings.job_folder(job_id) / "run.log"
    text, offset = tail_log(path, lines=tail)
    if not follow:
        return Response(text, media_type="text/plain; charset=utf-8")

    def has_ended() -> bool:
        if context.watchers.is_closed:
            return True
        with context.database.read() as fresh:
            job = fresh.get(Job, job_id)
        return job is None or job.status in FINAL

    lines = follow_log(
        path, text=text, offset=offset, has_ended=has_ended, bulkhead=context.follows
    )
    return StreamingResponse(lines, media_type="text/plain; charset=utf-8")


def _read_metrics(found: dict[str, Series]) -> MetricsRead:
    return MetricsRead(series={name: SeriesRead(**vars(series)) for name, series in found.items()})


def _csv(found: dict[str, Series]) -> str:
    """CSV with a line per step and a column per metric.

    A cell is empty if the metric was not measured at the step or is not finite.
    """
    rows: dict[int, dict[str, object]] = {}
    for name, series in found.items():
        for index, step in enumerate(series.step):
            row = rows.setdefault(
                step,
                {
                    "step": step,
                    "epoch": series.epoch[index],
                    "tokens_seen": series.tokens_seen[index],
                    "words_seen": series.words_seen[index],
                    "time": series.time[index].isoformat(),
                },
            )
            row[name] = series.value[index]
    output = io.StringIO()
    columns = ["step", "epoch", "tokens_seen", "words_seen", "time", *found]
    writer = csv.DictWriter(output, columns)
    writer.writeheader()
    writer.writerows(_in_order(rows))
    return output.getvalue()


def _in_order(rows: dict[int, dict[str, object]]) -> Iterator[dict[str, object]]:
    for step in sorted(rows):
        yield rows[step]
