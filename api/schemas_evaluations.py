"""Request and response bodies for evaluations and tokenizers."""

from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from api.schemas import ErrorRead, Out
from core.export.submission.official_files import Purpose
from core.spec.job import DataSpec, TokenizerSpec
from core.spec.text_requests import EncodeOptions
from jobs.states import ShortStatus
from jobs.tables import ShortTask

Json = dict[str, Any]
"""A JSON object with values of any type."""


class EvaluateBody(BaseModel):
    """A request to evaluate a checkpoint."""

    model_config = ConfigDict(extra="forbid", strict=True)

    task: str = Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,39}$",
        description="Name of an evaluation task, a folder under evaluations in the data directory, "
        "such as blimp.",
    )


class ParadigmRead(Out):
    """The score of a part of a task: a paradigm, a domain or a condition.

    `pairs` is the number of items of the part.
    """

    name: str
    phenomenon: str | None
    pairs: int
    score: float
    strict_score: float


class GroupRead(Out):
    """The score of all items that have the same value (`name`) of an attribute (`by`)."""

    by: str
    name: str
    pairs: int
    score: float
    strict_score: float


class EvaluationRead(Out):
    """An evaluation, which is `queued`, `running`, `succeeded` or `failed`.

    `score` is the score of the BabyLM evaluation, and `metric` says what the score is: `accuracy`
    is the mean over the paradigms, or over the splits of entity tracking; ties count as right in
    `score` and as wrong in `strict_score`. `spearman` is a rank correlation with human judgements.
    `r2_gain` compares two regressions of reading times: it is the share of the residual variance
    of the regression without surprisal that surprisal explains. `log_probability` is the mean log
    probability of all words in nats.
    """

    id: str
    job: str
    task: str
    checkpoint: str
    step: int
    words_seen: int
    status: ShortStatus
    progress: float
    kind: str | None
    metric: str | None
    chance: float | None
    score: float | None
    strict_score: float | None
    pairs: int | None
    seconds: float | None
    """Computing time in seconds."""
    paradigms: list[ParadigmRead]
    groups: list[GroupRead]
    measures: dict[str, float]
    """Further metrics of a fine-tuned task: `accuracy`, `f1`, `mcc` and `majority`. `majority` is
    the share of the most frequent label."""
    finetune: str | None
    """Id of the fine-tuning job that gave the score, or null."""
    source: str | None
    """For an evaluation in the list of a fine-tuning job, the id of the job that the checkpoint
    belongs to; else null."""
    error: ErrorRead | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None


class EvaluationPage(Out):
    """The evaluations of a job, oldest first."""

    data: list[EvaluationRead]


class PointRead(Out):
    """The score of one checkpoint."""

    checkpoint: str
    words_seen: int
    score: float
    standard_error: float


class BaselineRead(Out):
    """The final score of a published model, in the unit of the curve."""

    model: str
    track: str
    score: float
    source: str


class CurveRead(Out):
    """A score by words seen; `part` is `score` for the whole task, or the name of a paradigm."""

    task: str
    part: str
    metric: str
    points: list[PointRead]
    baselines: list[BaselineRead]
    saturated_at: str | None
    verdict: str


class CurvePage(Out):
    """The learning curves of a job."""

    data: list[CurveRead]


class TaskRead(Out):
    """An evaluation task."""

    name: str
    kind: str | None
    paradigms: int
    """Number of files."""
    bytes: int
    tasks: list[str]
    """For the kind `classification`: the tasks that a fine-tuning job can name; else empty."""
    error: str | None
    """The reason why the folder is not a valid task, or null."""


class TaskPage(Out):
    """The existing tasks, by name."""

    data: list[TaskRead]


class OfficialTaskRead(Out):
    """A task of the BabyLM challenge, and where its files come from."""

    name: str
    """Name of the task, to which you send the files with `POST /v1/evaluations/{task}/files`."""
    title: str
    purposes: list[Purpose]
    """What a submission needs the files for: the final model, each milestone, or fine-tuning."""
    folder: str | None
    """The existing folder with the files; null if they are missing."""
    path: str
    """Path of the files in the download."""
    note: str | None
    """What to do in addition to the download."""


class OfficialTaskPage(Out):
    """The official tasks."""

    data: list[OfficialTaskRead]
    download: str
    """Address of the official files."""


class TokenizerBody(BaseModel):
    """A request to train only a tokenizer."""

    model_config = ConfigDict(extra="forbid", strict=True)

    name: str | None = Field(default=None, min_length=1, max_length=200)
    data: DataSpec = Field(default_factory=DataSpec)
    tokenizer: TokenizerSpec = Field(default_factory=TokenizerSpec)


class TokenizerRead(Out):
    """The tokenizer of a job; `validation` is null if the job has no validation text."""

    job: str
    name: str
    dataset: str
    vocab_size: int
    validation: Json | None
    """bytes_per_word, characters_per_word, tokens_per_word, bytes_per_token, unused_entries, and
    the counts from which they are computed."""
    created_at: datetime


class TokenizerPage(Out):
    """Tokenizers, newest first. To get the next page, pass `next` as `after`."""

    data: list[TokenizerRead]
    next: str | None


class TokenizerFileRead(Out):
    """An existing tokenizer. To use it, set `tokenizer.path` of a spec to `path`."""

    name: str
    path: str
    vocab_size: int | None
    """Number of entries, including the special tokens of this service; null if the tokenizer is not
    usable."""
    error: str | None
    """The reason why the tokenizer is not usable, or null."""


class TokenizerFilePage(Out):
    """The existing tokenizers, by name."""

    data: list[TokenizerFileRead]


class EncodeBody(EncodeOptions):
    """A text to split."""

    model_config = ConfigDict(strict=True)


class TokenRead(Out):
    """A token: its id, its entry in the vocabulary, and the characters that it encodes."""

    id: int
    piece: str
    text: str
    start: int
    end: int


class EncodeRead(Out):
    """The tokens of a text."""

    tokens: list[TokenRead]


def read_evaluation(task: ShortTask) -> EvaluationRead:
    """The response body for the row of an evaluation."""
    result = task.result or {}
    assert task.job_id is not None
    return EvaluationRead(
        id=task.id,
        job=task.job_id,
        task=task.request["task"],
        checkpoint=task.request["checkpoint"],
        step=task.request["step"],
        words_seen=task.request["words_seen"],
        status="running" if task.status == "queued" and task.started_at else task.status,
        progress=task.progress,
        kind=result.get("kind", "minimal_pairs") if result else None,
        metric=result.get("metric", "accuracy") if result else None,
        chance=result.get("chance", 0.5) if result else None,
        score=result.get("score"),
        strict_score=result.get("strict_score"),
        pairs=result.get("pairs"),
        seconds=result.get("seconds"),
        paradigms=[ParadigmRead(**each) for each in result.get("paradigms", [])],
        groups=[GroupRead(**each) for each in result.get("groups", [])],
        measures=result.get("measures", {}),
        finetune=task.request.get("finetune"),
        source=task.request.get("job"),
        error=ErrorRead(**task.error) if task.error else None,
        created_at=task.created_at,
        started_at=task.started_at,
        finished_at=task.finished_at,
    )
