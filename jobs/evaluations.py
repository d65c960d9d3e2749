"""Records the results of evaluations of checkpoints as events and metrics of the job."""

from sqlmodel import Session, col, select

from core.events.metrics import score_metric
from core.events.results import EvaluationResult
from core.events.types import EvaluationData, MetricsData, now
from jobs.database import insert, upsert
from jobs.errors import CheckpointNotFound
from jobs.short_tasks import short_tasks_of_job
from jobs.tables import Checkpoint, Job, Json, Metric, MetricStep, ShortTask
from jobs.transitions import add_event, update_job


def evaluation_request(checkpoint: Checkpoint, task: str) -> Json:
    """The request of a short task that evaluates a checkpoint."""
    return {
        "checkpoint": checkpoint.name,
        "task": task,
        "step": checkpoint.step,
        "words_seen": checkpoint.words_seen,
    }


def record_evaluation(session: Session, task: ShortTask, answer: Json) -> None:
    """Records the result of a short task as an `evaluation` event and a metric of the job.

    Raises:
        CheckpointNotFound: If the job never had the checkpoint.
    """
    assert task.job_id is not None
    checkpoint = _checkpoint(session, task.job_id, str(task.request["checkpoint"]))
    result = EvaluationResult.model_validate(answer)
    evaluation = EvaluationData(
        step=checkpoint.step,
        checkpoint=checkpoint.name,
        task=str(task.request["task"]),
        scores=result.scores(),
        result=result,
    )
    job = update_job(session, task.job_id, values={"last_seq": Job.last_seq + 1})
    if job is None:  # the job was deleted meanwhile, and the task with it
        return
    add_event(session, task.job_id, seq=job.last_seq, data=evaluation)
    _record_metric(session, checkpoint, evaluation)


def list_evaluation(session: Session, job_id: str, evaluation: EvaluationData) -> None:
    """Adds an evaluation by the run itself to the metrics and to the list of evaluations.

    Skips an evaluation of an unknown checkpoint; such an evaluation remains only an event. It can
    occur after a power failure, when the journal lacks the line of the checkpoint. The function
    raises no error in this case, so that the worker continues to read the journal.
    """
    try:
        checkpoint = _checkpoint(session, job_id, str(evaluation.checkpoint))
    except CheckpointNotFound:
        return
    _add_row(session, job_id, evaluation_request(checkpoint, evaluation.task), evaluation)
    _record_metric(session, checkpoint, evaluation)


def list_finetuned(session: Session, job: Job, evaluation: EvaluationData) -> None:
    """Adds the score of a fine-tuned checkpoint to the fine-tuning job and to the checkpoint's job.

    The checkpoint's job also receives the score as an event and a metric, as from any other
    evaluation. If that job was deleted, only the fine-tuning job has the score.
    """
    finetune = job.spec["finetune"]
    source, request = finetune["job"], _unknown_request(evaluation)
    try:
        checkpoint = _checkpoint(session, source, str(evaluation.checkpoint))
    except CheckpointNotFound:
        _add_row(session, job.id, request | {"job": source}, evaluation)
        return
    request = evaluation_request(checkpoint, evaluation.task)
    _add_row(session, job.id, request | {"job": source}, evaluation)
    other = update_job(session, source, values={"last_seq": Job.last_seq + 1})
    if other is None:
        return
    add_event(
        session,
        source,
        seq=other.last_seq,
        data=evaluation.model_copy(update={"step": checkpoint.step}),
    )
    _add_row(session, source, request | {"finetune": job.id}, evaluation)
    _record_metric(session, checkpoint, evaluation)


def _unknown_request(evaluation: EvaluationData) -> Json:
    where = {"checkpoint": evaluation.checkpoint, "task": evaluation.task}
    return where | {"step": 0, "words_seen": 0}


def _add_row(session: Session, job_id: str, request: Json, evaluation: EvaluationData) -> None:
    """Adds a finished evaluation to the list of a job."""
    reported_at = now()
    row = ShortTask(
        kind="evaluate",
        job_id=job_id,
        request=request,
        status="succeeded",
        progress=1.0,
        result=evaluation.result.model_dump() if evaluation.result else evaluation.scores,
        created_at=reported_at,
        started_at=reported_at,
        finished_at=reported_at,
    )
    session.add(row)


def scores_of_checkpoint(session: Session, job_id: str, checkpoint: str) -> dict[str, float]:
    """The newest score of each task on which the checkpoint was evaluated."""
    return {
        str(task.request["task"]): float(task.result["score"])
        for task in short_tasks_of_job(session, job_id, "evaluate")
        if task.request["checkpoint"] == checkpoint and task.status == "succeeded" and task.result
    }


def _record_metric(session: Session, checkpoint: Checkpoint, evaluation: EvaluationData) -> None:
    """Adds a `metrics` event and the metric at the step of the checkpoint.

    This step may be far in the past, so the job's current step and its other latest values do not
    change, and a value that was measured at a later step stays the latest.
    """
    job_id = checkpoint.job_id
    metrics = MetricsData(
        step=checkpoint.step,
        epoch=_epoch(session, checkpoint),
        tokens_seen=checkpoint.tokens_seen,
        words_seen=checkpoint.words_seen,
        values={score_metric(evaluation.task, checkpoint.name): evaluation.scores["score"]},
    )
    job = update_job(session, job_id, values={"last_seq": Job.last_seq + 1})
    if job is None:
        return
    add_event(session, job_id, seq=job.last_seq, data=metrics)
    _add_metric(session, job_id, metrics)
    latest = dict(job.latest_metrics)
    steps = latest.get("steps", {})
    newer = {
        name: value
        for name, value in metrics.values.items()
        if name not in steps or metrics.step >= steps[name]
    }
    latest["values"] = latest.get("values", {}) | newer
    latest["steps"] = steps | dict.fromkeys(newer, metrics.step)
    if newer and "step" in latest:
        update_job(session, job_id, values={"latest_metrics": latest})


def _checkpoint(session: Session, job_id: str, name: str) -> Checkpoint:
    """The row of a checkpoint, which remains even if the retention rules remove the files."""
    query = select(Checkpoint).where(Checkpoint.job_id == job_id, Checkpoint.name == name)
    found = session.exec(query).one_or_none()
    if found is None:
        raise CheckpointNotFound(job_id, name, [])
    return found


def _epoch(session: Session, checkpoint: Checkpoint) -> float:
    """Number of epochs at the checkpoint, computed from the last measurement before or at it."""
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
    # A measurement of the run itself at that step takes precedence.
    session.execute(insert(session, MetricStep).values(**where).on_conflict_do_nothing())
    rows = [
        {"job_id": job_id, "name": name, "step": metrics.step, "value": value}
        for name, value in metrics.values.items()
    ]
    upsert(session, Metric, rows, keys=("job_id", "name", "step"))
