"""Request and response bodies for submissions to the BabyLM challenge."""

from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from api.schemas import ErrorRead, Out
from core.export.submission.ledger import Ledger
from jobs.states import ShortStatus
from jobs.tables import ShortTask

REPOSITORY = r"^[A-Za-z0-9_][A-Za-z0-9._-]{0,94}/[A-Za-z0-9_][A-Za-z0-9._-]{0,94}$"


class SubmissionBody(BaseModel):
    """A request to build a submission."""

    model_config = ConfigDict(extra="forbid", strict=True)

    repository: str = Field(
        pattern=REPOSITORY, description="Name of the model on the Hugging Face Hub, as USER/NAME."
    )
    checkpoint: str = Field(
        default="last",
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$",
        description="Name of the checkpoint that becomes the branch main.",
    )
    evaluate: bool = Field(
        default=True,
        description="Also queue each evaluation that has no predictions yet, if its task files are "
        "in the data directory.",
    )

    @field_validator("repository")
    @classmethod
    def _is_name_of_the_hub(cls, repository: str) -> str:
        parts = repository.split("/")
        if any(mark in repository for mark in ("--", "..")) or any(
            part[-1] in ".-" or part.endswith(".git") for part in parts
        ):
            raise ValueError(
                "must be USER/NAME; neither part may contain '--' or '..', or end with '-', '.' or "
                "'.git'"
            )
        return repository


class RevisionRead(Out):
    """A branch of the submission's repository, and the checkpoint in it."""

    branch: str
    checkpoint: str
    step: int
    words_seen: int
    commit: str


class MissingRead(Out):
    """Predictions that the submission lacks; `kind` is `evaluation` or `finetuning`."""

    kind: str
    checkpoint: str
    task: str
    reason: str


class ReportRead(Out):
    """What a submission contains and lacks.

    `differences` has one message for each task or subset that differs from the official file: the
    number of items differs, or the official file does not have the task or subset. `complete` is
    true if `missing` and `differences` are empty and every milestone of the track was reached.
    """

    repository: str
    track: str
    checkpoint: str
    words_seen: int
    cache: str
    """Name of the folder with the models, which has the layout of the Hugging Face Hub cache."""
    revisions: list[RevisionRead]
    not_reached: list[str]
    missing: list[MissingRead]
    differences: list[str]
    budget: Ledger | None = None
    warnings: list[str]
    """Messages about settings of the job that have a different effect in the release of
    transformers that the official pipeline uses."""
    complete: bool


class SubmissionRead(Out):
    """A submission, which is `queued`, `running`, `succeeded` or `failed`."""

    id: str
    job: str
    status: ShortStatus
    progress: float
    repository: str
    checkpoint: str
    unfinished_evaluations: int
    """Number of evaluations of the job that are queued or running."""
    report: ReportRead | None
    error: ErrorRead | None
    created_at: datetime
    finished_at: datetime | None


class SubmissionPage(Out):
    """The newest submission of a job, or none."""

    data: list[SubmissionRead]


class FileRead(Out):
    """A file of the submission's folder."""

    path: str
    size: int
    sha256: str


class LinkRead(Out):
    """A symbolic link in the submission's folder."""

    path: str
    target: str


class ManifestRead(Out):
    """The files and symbolic links of the submission's folder."""

    files: list[FileRead]
    links: list[LinkRead]


def read_submission(task: ShortTask, *, unfinished_evaluations: int) -> SubmissionRead:
    """The response body for the row of a submission."""
    assert task.job_id is not None
    report: dict[str, Any] | None = task.result  # any JSON value
    return SubmissionRead(
        id=task.id,
        job=task.job_id,
        status="running" if task.status == "queued" and task.started_at else task.status,
        progress=task.progress,
        repository=task.request["repository"],
        checkpoint=task.request["checkpoint"],
        unfinished_evaluations=unfinished_evaluations,
        report=ReportRead.model_validate(report) if report else None,
        error=ErrorRead(**task.error) if task.error else None,
        created_at=task.created_at,
        finished_at=task.finished_at,
    )
