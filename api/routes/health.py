"""Routes for monitoring: liveness, readiness and Prometheus metrics."""

from prometheus_client import CollectorRegistry, Gauge, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from sqlalchemy.exc import SQLAlchemyError
from starlette.responses import JSONResponse, Response

from api.deps import Context, InContext, Reading
from api.description import Responses, text_responses
from api.routing import ThreadRouter
from api.schemas import ReadyRead
from core.events.types import now
from jobs.placements import live_provisioners
from jobs.states import STATUSES
from jobs.store import count_jobs, list_jobs
from jobs.workers import live_workers

router = ThreadRouter("operations")

NOT_READY: Responses = {503: {"model": ReadyRead, "description": "A check failed."}}


@router.get("/healthz")
async def healthz() -> dict[str, str]:
    """Answers 200 if the API process is alive. Needs neither a thread nor a database connection."""
    return {"status": "ok"}


@router.get("/readyz", response_model=ReadyRead, responses=NOT_READY)
async def readyz(context: InContext) -> JSONResponse:
    """Answers 200 if the service can run jobs, and 503 if not, with the result of each check.

    The checks are: the database answers, the broker answers if there is one, and a train worker or
    `babylm provision slurm` is alive.
    """
    checks = await context.reads.run(lambda: _checks(context))
    ready = all(value in ("ok", "polling") for value in checks.values())
    body = {"status": "ok" if ready else "unavailable", "checks": checks}
    return JSONResponse(body, 200 if ready else 503)


@router.get("/metrics", response_class=Response, responses=text_responses("text/plain"))
def metrics(session: Reading) -> Response:
    """Metrics for Prometheus, read from the database."""
    registry = CollectorRegistry()
    jobs = Gauge("babylm_jobs", "Jobs by status.", ["status"], registry=registry)
    counts = count_jobs(session)
    for status in STATUSES:
        jobs.labels(status).set(counts.get(status, 0))
    workers = Gauge("babylm_workers", "Live workers by queue.", ["queue"], registry=registry)
    for queue in ("train", "short"):
        alive = [worker for worker in live_workers(session) if worker.queue == queue]
        workers.labels(queue).set(len(alive))
    waiting, _ = list_jobs(session, statuses=("queued",), limit=1000)
    oldest = max(((now() - job.queued_at).total_seconds() for job in waiting), default=0.0)
    Gauge("babylm_queue_wait_seconds", "Age of the oldest queued job.", registry=registry).set(
        oldest
    )
    step = Gauge("babylm_job_step", "Step of a running job.", ["job"], registry=registry)
    rate = Gauge(
        "babylm_job_tokens_per_second", "Training speed of a job.", ["job"], registry=registry
    )
    running, _ = list_jobs(session, statuses=("running",), limit=100)
    for job in running:
        step.labels(job.id).set(job.step or 0)
        values = job.latest_metrics.get("values", {})
        rate.labels(job.id).set(values.get("throughput/tokens_per_second") or 0.0)
    return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)


def _checks(context: Context) -> dict[str, str]:
    checks = {"database": "ok", "broker": "polling", "worker": "none alive"}
    try:
        with context.database.read() as session:
            queues = {worker.queue for worker in live_workers(session)}
            if live_provisioners(session):
                queues.add("train")
    except SQLAlchemyError as error:
        checks["database"] = type(error).__name__
        queues = set()
    if "train" in queues:
        checks["worker"] = "ok"
    if context.notifier is not None:
        checks["broker"] = "ok" if context.notifier.ping() else "does not answer"
    return checks
