"""Request and response bodies of studies."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from math import isfinite
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from api.schemas import WITHOUT_NUL, Json, Out
from core.spec.grid import MAX_MEMBERS, RESERVED, conditions_of
from jobs.states import Status
from jobs.study_table import ConditionRow, MemberRow, Verdict, condition_table, metric_names
from jobs.tables import Study

MAX_SEED = 2**31 - 1
MAX_DEPTH = 20
"""Maximum number of levels of a body; a job spec has four."""

FieldPath = Annotated[str, Field(max_length=100, pattern=r"^[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*$")]
Seed = Annotated[int, Field(ge=0, le=MAX_SEED)]
Count = Annotated[int, Field(ge=1, le=MAX_MEMBERS)]
SeedList = Annotated[list[Seed], Field(min_length=1, max_length=MAX_MEMBERS)]
Values = Annotated[list[Any], Field(min_length=1, max_length=MAX_MEMBERS)]  # any JSON value


def _require_plain(body: object) -> None:
    """Refuses deep nesting and numbers that are not finite, before other code walks the values."""
    waiting = [(body, 0)]
    while waiting:
        value, depth = waiting.pop()
        if depth > MAX_DEPTH:
            raise ValueError(f"the body is nested more than {MAX_DEPTH} levels deep; flatten it")
        if isinstance(value, float) and not isfinite(value):
            raise ValueError(f"{value} is not a finite number; replace it")
        if isinstance(value, dict | list):
            inner = value.values() if isinstance(value, dict) else value
            waiting.extend((each, depth + 1) for each in inner)


def _without_repeats(values: Sequence[Any]) -> None:  # any JSON value
    texts = [json.dumps(value, sort_keys=True) for value in values]
    repeated = sorted({text for text in texts if texts.count(text) > 1})
    if repeated:
        raise ValueError(f"{', '.join(repeated)} occurs more than once; list each value once")


class StudyBody(BaseModel):
    """A study: a job spec as for `POST /v1/jobs`, and the values that vary.

    Give the fields of the spec, such as `preset` and `training`, at the top level or in `spec`.
    """

    model_config = ConfigDict(extra="allow", strict=True)

    name: str | None = Field(default=None, min_length=1, max_length=150, pattern=WITHOUT_NUL)
    spec: Json | None = Field(
        default=None, description="The base spec; alternatively give its fields at the top level."
    )
    grid: dict[FieldPath, Values] = Field(
        default_factory=dict,
        max_length=20,
        description="Values by dotted field name, such as `training.learning_rate`. Each "
        "combination of values is a condition; the combination of the first values is the "
        "baseline. If the grid is empty, the study has one condition.",
    )
    seeds: Count | SeedList = Field(
        default=1,
        description="Number of seeds, or a list of seeds. With a number, the first seed is "
        "`training.seed` of the base spec, and each further seed is 1 higher.",
    )

    @model_validator(mode="before")
    @classmethod
    def _is_plain(cls, body: Any) -> Any:  # any JSON value
        _require_plain(body)
        return body

    @field_validator("grid")
    @classmethod
    def _fields_may_vary(cls, grid: dict[str, list[Any]]) -> dict[str, list[Any]]:
        for path, values in grid.items():
            if path in RESERVED:
                raise ValueError(f"{path} cannot vary in a grid: {RESERVED[path]}")
            try:
                _without_repeats(values)
            except ValueError as error:
                raise ValueError(f"{path}: {error}") from error
        return grid

    @field_validator("seeds")
    @classmethod
    def _seeds_differ(cls, seeds: int | list[int]) -> int | list[int]:
        if isinstance(seeds, list):
            _without_repeats(seeds)
        return seeds

    @model_validator(mode="after")
    def _has_one_base_and_few_members(self) -> Self:
        if self.spec is not None and self.model_extra:
            some = ", ".join(sorted(self.model_extra)[:5])
            raise ValueError(f"spec and {some} are both given: move {some} into spec")
        conditions = 1
        for values in self.grid.values():
            conditions *= len(values)
        seeds = self.seeds if isinstance(self.seeds, int) else len(self.seeds)
        if conditions * seeds > MAX_MEMBERS:
            raise ValueError(
                f"{conditions} conditions x {seeds} seeds are {conditions * seeds} jobs, and a "
                f"study has at most {MAX_MEMBERS}: use fewer values or seeds"
            )
        return self

    def base(self) -> Json:
        """The body of the base spec, without its name."""
        given = self.spec if self.spec is not None else (self.model_extra or {})
        return {field: value for field, value in given.items() if field != "name"}

    def title(self) -> str:
        """The given name, or else the name of the spec, the name of the preset, or `study`."""
        given = self.spec or {}
        for name in (self.name, given.get("name"), self.base().get("preset")):
            if isinstance(name, str) and name:
                return name[:150]
        return "study"


class SeedsBody(BaseModel):
    """Seeds to add to a study."""

    model_config = ConfigDict(extra="forbid", strict=True)

    seeds: Count | SeedList = Field(
        description="Total number of seeds that the study will have, or a list of seeds to add. "
        "Repeating the request adds nothing."
    )

    @field_validator("seeds")
    @classmethod
    def _seeds_differ(cls, seeds: int | list[int]) -> int | list[int]:
        if isinstance(seeds, list):
            _without_repeats(seeds)
        return seeds


class MemberRead(Out):
    """A job of a study."""

    job: str
    name: str
    status: Status
    condition_number: int
    condition: Json
    seed: int
    progress: float
    values: dict[str, float | None]
    """Latest values of the compared metrics; final if the job has succeeded."""
    error_code: str | None


class SummaryRead(Out):
    """Statistics of a metric over the seeds of a condition."""

    n: int
    """Number of members that have succeeded with a finite value."""
    mean: float
    deviation: float | None
    """Sample standard deviation; null if there is only one value."""
    best: float
    difference: float | None
    """Mean minus the mean of the baseline; null for the baseline, and if the baseline has no
    value."""
    noise: float | None
    """Twice the pooled standard deviation of the condition and the baseline; null for the baseline,
    and if one of the two has fewer than two values."""
    verdict: Verdict | None


class ConditionRead(Out):
    """A condition; number 0 is the baseline. `metrics` has a summary for each metric, by name."""

    number: int
    condition: Json
    num_members: int
    metrics: dict[str, SummaryRead]


class StudySummaryRead(Out):
    """A study in a list."""

    id: str
    name: str
    created_at: datetime
    grid: dict[str, list[Any]]
    seeds: list[int]
    num_conditions: int
    num_members: int
    counts: dict[str, int]
    """Number of members by status."""


class StudyRead(StudySummaryRead):
    """A study with its members and its table, which has a row for each condition."""

    base: Json
    metrics: list[str]
    """Names of the compared metrics that at least one member has."""
    table: list[ConditionRead]
    members: list[MemberRead]


class StudyPage(Out):
    """Some studies, newest first, and the cursor of the next page."""

    data: list[StudySummaryRead]
    next: str | None


def read_summary(study: Study, counts: dict[str, int]) -> StudySummaryRead:
    """The response body of a study in a list; `counts` is the number of its members by status."""
    return StudySummaryRead(
        id=study.id,
        name=study.name,
        created_at=study.created_at,
        grid=study.grid,
        seeds=study.seeds,
        num_conditions=len(conditions_of(study.grid)),
        num_members=sum(counts.values()),
        counts=counts,
    )


def read_study(study: Study, members: Sequence[MemberRow]) -> StudyRead:
    """The response body of a study, with its members and its table."""
    counts: dict[str, int] = {}
    for member in members:
        counts[member.status] = counts.get(member.status, 0) + 1
    return StudyRead(
        **read_summary(study, counts).model_dump(),
        base=study.base,
        metrics=metric_names(members),
        table=[_read_condition(row) for row in condition_table(members)],
        members=[_read_member(member) for member in members],
    )


def _read_condition(row: ConditionRow) -> ConditionRead:
    return ConditionRead(
        number=row.number,
        condition=dict(row.condition),
        num_members=row.num_members,
        metrics={name: SummaryRead(**asdict(found)) for name, found in row.metrics.items()},
    )


def _read_member(member: MemberRow) -> MemberRead:
    given = asdict(member)
    return MemberRead(job=given.pop("job_id"), **given)
