"""Evaluations of checkpoints: what the short worker found becomes history and metric of a job."""

from sqlmodel import Session, col, select

from core.events import EvaluationData, MetricsData, now
from jobs.database import insert, upsert
from jobs.errors import CheckpointNotFound
from jobs.moves import add_event, update_job
from jobs.tables import Checkpoint, Job, Json, Metric, MetricStep, ShortTask

SCORE, STRICT_SCORE = "score", "strict_score"


def metric_name(task: str) -> str:
    """The metric of a task, such as `evaluation/blimp`."""
    return f"evaluation/{task}"


def record_evaluation(session: Session, task: ShortTask, result: Json) -> None:
    """Adds an `evaluation` and a `metrics` event, and the metric, where the checkpoint stood.

    The metric lies at the step of the checkpoint, which may be long past, so it moves neither the
    step nor the other latest values of the job.

    Raises:
        CheckpointNotFound: If the checkpoint never was one of the job.
    """
    assert task.job_id is not None
    checkpoint = _checkpoint(session, task.job_id, str(task.request["checkpoint"]))
    name = str(task.request["task"])
    scores = {SCORE: result[SCORE], STRICT_SCORE: result[STRICT_SCORE]}
    scores |= {f"paradigm/{each['name']}": each[SCORE] for each in result["paradigms"]}
    evaluation = EvaluationData(
        step=checkpoint.step, checkpoint=checkpoint.name, task=name, scores=scores
    )
    metrics = MetricsData(
        step=checkpoint.step,
        epoch=_epoch(session, checkpoint),
        tokens_seen=checkpoint.tokens_seen,
        words_seen=checkpoint.words_seen,
        values={metric_name(name): result[SCORE]},
    )
    job = update_job(session, task.job_id, values={"last_seq": Job.last_seq + 2})
    if job is None:  # deleted in the meantime; the task went with it
        return
    add_event(session, task.job_id, seq=job.last_seq - 1, data=evaluation)
    add_event(session, task.job_id, seq=job.last_seq, data=metrics)
    _add_metric(session, task.job_id, metrics)
    latest = dict(job.latest_metrics)
    latest["values"] = latest.get("values", {}) | metrics.values
    if "step" in latest:
        update_job(session, task.job_id, values={"latest_metrics": latest})


def _checkpoint(session: Session, job_id: str, name: str) -> Checkpoint:
    """The row, which stays when the retention rules remove the files."""
    query = select(Checkpoint).where(Checkpoint.job_id == job_id, Checkpoint.name == name)
    found = session.exec(query).one_or_none()
    if found is None:
        raise CheckpointNotFound(job_id, name, [])
    return found


def _epoch(session: Session, checkpoint: Checkpoint) -> float:
    """Passes over the text at the checkpoint, from the nearest measurement before it."""
    query = (
        select(MetricStep)
        .where(MetricStep.job_id == checkpoint.job_id, MetricStep.step <= checkpoint.step)
        .order_by(col(MetricStep.step).desc())
        .limit(1)
    )
    near = session.exec(query).one_or_none()
    if near is None or near.tokens_seen == 0:
        return 0.0
    return near.epoch * checkpoint.tokens_seen / near.tokens_seen


def _add_metric(session: Session, job_id: str, metrics: MetricsData) -> None:
    where = {
        "job_id": job_id,
        "step": metrics.step,
        "time": now(),
        "epoch": metrics.epoch,
        "tokens_seen": metrics.tokens_seen,
        "words_seen": metrics.words_seen,
    }
    # What the run itself measured at that step stands.
    session.execute(insert(session, MetricStep).values(**where).on_conflict_do_nothing())
    rows = [
        {"job_id": job_id, "name": name, "step": metrics.step, "value": value}
        for name, value in metrics.values.items()
    ]
    upsert(session, Metric, rows, keys=("job_id", "name", "step"))
