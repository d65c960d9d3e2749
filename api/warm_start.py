"""Warm start: checks `init_from` of a spec, and copies the initial weights for the job."""

import logging

from sqlmodel import Session

from api.errors import Problem
from core.checkpoints.initial_weights import (
    require_same_model,
    source_folders,
    take_initial_weights,
)
from core.errors import InitialWeightsInvalid
from core.spec.job import JobSpec
from core.storage.rundir import RunDir
from jobs.settings import Settings
from jobs.tables import Checkpoint, Job

log = logging.getLogger(__name__)


def check_init_from(session: Session, spec: JobSpec, settings: Settings) -> None:
    """Refuses a spec if its initial weights do not exist or belong to another model.

    Raises:
        Problem: 422; the error names the field.
    """
    start = spec.init_from
    if not start.is_set:
        return
    field = "init_from.path" if start.job is None else "init_from.job"
    try:
        if start.job is not None:
            if session.get(Job, start.job) is None:
                raise InitialWeightsInvalid(f"there is no job {start.job!r}")
            field = "init_from.checkpoint"
            row = session.get(Checkpoint, (start.job, start.checkpoint))
            if row is None or row.removed_at is not None:
                raise InitialWeightsInvalid(f"job {start.job} has no checkpoint {start.checkpoint}")
        jobs_dir = settings.job_folder("any").parent
        weights, tokenizer = source_folders(start, jobs_dir, settings.data_dir)
        field = "model"
        require_same_model(spec, weights, tokenizer)
    except InitialWeightsInvalid as error:
        faults = [(field, error.message, start.model_dump())]
        detail = f"{field}: {error.message}"
        raise Problem(422, error.code, detail, fields=faults) from error


def warm_start_warnings(session: Session, spec: JobSpec, settings: Settings) -> list[str]:
    """A warning if `init_from` of the spec would be refused; otherwise an empty list."""
    try:
        check_init_from(session, spec, settings)
    except Problem as problem:
        return [f"the job would be refused: {problem.detail}"]
    return []


def keep_initial_weights(spec: JobSpec, job_id: str, settings: Settings) -> None:
    """Copies the initial weights for a new job, so that the originals may be removed afterwards.

    A failure is only logged. In that case the run tries to copy the weights when it starts, and
    reports what is wrong if it cannot.
    """
    try:
        take_initial_weights(spec, RunDir(settings.job_folder(job_id)), settings.data_dir)
    except (InitialWeightsInvalid, OSError) as error:
        log.warning(
            "job %s: could not copy its initial weights; its run tries again when it starts: %s",
            job_id,
            error,
        )
