"""The table of a study: mean, deviation and best value by condition, compared with the baseline.

A study is a group of jobs, its members: one job for each condition (a combination of values of the
study's grid) and each seed. The baseline is condition 0, which has the first value of each list of
the grid. All functions are pure: they compute their results from the members' values only.
"""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import mean, stdev
from typing import Any, Literal

from core.events.metrics import BY_NAME

COMPARED = ("validation/bits_per_byte", "validation/loss")
EVALUATIONS = "evaluation/"
NOISE_FACTOR = 2.0
"""A difference of means counts only if it exceeds this number of standard deviations between
seeds."""

Verdict = Literal["baseline", "better", "worse", "within_noise", "too_few_seeds"]


@dataclass(frozen=True)
class MemberRow:
    """What a study shows of a member."""

    job_id: str
    name: str
    status: str
    condition_number: int
    condition: Mapping[str, Any]  # JSON values by dotted field
    seed: int
    progress: float
    values: Mapping[str, float | None]
    """Latest values of the compared metrics; final if the member has succeeded."""
    error_code: str | None


@dataclass(frozen=True)
class Summary:
    """A metric of a condition over its seeds."""

    n: int
    """Number of members that have succeeded with a finite value."""
    mean: float
    deviation: float | None
    """Sample standard deviation; None if there is only one value."""
    best: float
    difference: float | None
    """Mean minus the mean of the baseline; None for the baseline itself, or if the baseline has no
    value."""
    noise: float | None
    """Twice the pooled standard deviation of this condition and the baseline; None for the baseline
    itself, and if one of the two has fewer than two values."""
    verdict: Verdict | None
    """None if the baseline has no value."""


@dataclass(frozen=True)
class ConditionRow:
    """A condition with its members and summaries by metric."""

    number: int
    condition: Mapping[str, Any]  # JSON values by dotted field
    num_members: int
    metrics: Mapping[str, Summary]


def compared_values(latest_metrics: Mapping[str, Any]) -> dict[str, float | None]:
    """The values that a study compares, from the latest metrics of a job."""
    values: Mapping[str, float | None] = latest_metrics.get("values") or {}
    return {
        name: value
        for name, value in values.items()
        if name in COMPARED or name.startswith(EVALUATIONS)
    }


def metric_names(members: Sequence[MemberRow]) -> list[str]:
    """The compared metrics that any member has: validation first, then evaluations by name."""
    names = {name for member in members for name in member.values}
    first = [name for name in COMPARED if name in names]
    return first + sorted(names - set(first))


def is_lower_better(name: str) -> bool:
    """Whether smaller values of a compared metric are better, as those of a loss."""
    known = BY_NAME.get(name)
    return known is not None and known.better == "lower"


def condition_table(members: Sequence[MemberRow]) -> list[ConditionRow]:
    """A row for each condition that has a member, by number.

    `num_members` counts all members. The summaries use only members that have succeeded, because
    the values of other members are not final.
    """
    groups: dict[int, list[MemberRow]] = {}
    for member in members:
        groups.setdefault(member.condition_number, []).append(member)
    names = metric_names(members)
    baseline = {name: _finals(groups.get(0, []), name) for name in names}
    return [
        ConditionRow(
            number=number,
            condition=group[0].condition,
            num_members=len(group),
            metrics={
                name: _summary(name, finals, None if number == 0 else baseline[name])
                for name in names
                if (finals := _finals(group, name))
            },
        )
        for number, group in sorted(groups.items())
    ]


def as_csv(members: Sequence[MemberRow], fields: Sequence[str]) -> str:
    """A line for each member, by condition and seed, with full precision.

    Args:
        members: The members.
        fields: The dotted fields of the grid.
    """
    names = metric_names(members)
    output = io.StringIO()
    writer = csv.writer(output, lineterminator="\n")
    writer.writerow(["condition", *fields, "seed", "status", *names, "job"])
    for member in sorted(members, key=lambda each: (each.condition_number, each.seed)):
        given = [_cell(member.condition.get(field)) for field in fields]
        values = [_cell(member.values.get(name)) for name in names]
        row = [member.condition_number, *given, member.seed, member.status, *values]
        writer.writerow([*row, member.job_id])
    return output.getvalue()


def _finals(members: Sequence[MemberRow], name: str) -> list[float]:
    return [
        value
        for member in members
        if member.status == "succeeded" and (value := member.values.get(name)) is not None
    ]


def _summary(name: str, values: Sequence[float], baseline: Sequence[float] | None) -> Summary:
    """The summary of a condition; `baseline` is None for the baseline itself."""
    center = mean(values)
    difference = center - mean(baseline) if baseline else None
    noise = _noise(values, baseline) if baseline else None
    return Summary(
        n=len(values),
        mean=center,
        deviation=stdev(values) if len(values) > 1 else None,
        best=min(values) if is_lower_better(name) else max(values),
        difference=difference,
        noise=noise,
        verdict="baseline" if baseline is None else _verdict(name, difference, noise),
    )


def _noise(values: Sequence[float], baseline: Sequence[float]) -> float | None:
    """Twice the pooled standard deviation; None if one of the lists has fewer than two values."""
    if len(values) < 2 or len(baseline) < 2:
        return None
    freedom = len(values) + len(baseline) - 2
    squares = sum((len(each) - 1) * stdev(each) ** 2 for each in (values, baseline))
    return NOISE_FACTOR * sqrt(squares / freedom)


def _verdict(name: str, difference: float | None, noise: float | None) -> Verdict | None:
    if difference is None:
        return None
    if noise is None:
        return "too_few_seeds"
    if abs(difference) <= noise:
        return "within_noise"
    return "better" if (difference < 0) == is_lower_better(name) else "worse"


def _cell(value: Any) -> str:  # any JSON value
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value)
