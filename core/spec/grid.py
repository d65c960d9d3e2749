"""Expands the grid of a study into the specs of its jobs.

The jobs of a study share a base spec. A grid lists values for fields of the spec. A condition is
one combination of these values. The first condition is the baseline, with which the study compares
the other conditions. A member is one job of the study: a condition with a seed.
"""

import copy
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from pydantic import ValidationError

from core.errors import SpecInvalid
from core.spec.job import JobSpec

Condition = dict[str, Any]
"""JSON values by dotted field name, such as `training.learning_rate`."""
MAX_MEMBERS = 200
"""Maximum number of jobs of one study. The number is limited, because one transaction creates all
of them and meanwhile blocks other writers."""
MAX_NAME = 200
SEED = "training.seed"
RESERVED = {
    SEED: "list the seeds in `seeds`",
    "name": "the service names the members",
}
"""Fields that a grid must not have, each with an explanation for the user."""


@dataclass(frozen=True)
class Member:
    """A job of a study: a condition with a seed."""

    condition_number: int
    """Number of the condition, counted from 0. Condition 0 is the baseline."""
    condition: Condition
    seed: int
    spec: JobSpec
    """The resolved spec."""


class ConditionInvalid(Exception):
    """The spec of a condition is not valid.

    Attributes:
        condition: The condition, as text.
        error: The error of the spec.
    """

    def __init__(self, condition: str, error: ValidationError) -> None:
        super().__init__(f"{condition}: {error}")
        self.condition = condition
        self.error = error


def conditions_of(grid: Mapping[str, Sequence[Any]]) -> list[Condition]:
    """All combinations of the grid's values in order; the first is the baseline.

    An empty grid has one condition without values.
    """
    return [dict(zip(grid, values, strict=True)) for values in product(*grid.values())]


def expand_seeds(seeds: int | Sequence[int], *, first: int) -> list[int]:
    """The list `seeds`; if `seeds` is a number n, n consecutive seeds that begin with `first`."""
    return list(range(first, first + seeds)) if isinstance(seeds, int) else list(seeds)


def base_seed(base: Mapping[str, Any]) -> int:
    """The seed of the base spec; 0 if it has none."""
    training = base.get("training")
    seed = training.get("seed") if isinstance(training, Mapping) else None
    return seed if isinstance(seed, int) else 0


def make_members(
    name: str,
    base: Mapping[str, Any],
    conditions: Sequence[tuple[int, Condition]],
    seeds: Sequence[int],
) -> list[Member]:
    """The members of a study: first all conditions with the first seed, then with the next seed.

    Workers claim the jobs in this order, so that conditions can be compared early.

    Args:
        name: Name of the study.
        base: The body of a job spec.
        conditions: Conditions with their numbers.
        seeds: Seeds; each condition gets a member for each seed.

    Raises:
        ConditionInvalid: If the spec of a condition is not valid.
        SpecInvalid: If a value of a grid belongs to a section that the spec does not have.
    """
    return [
        Member(number, condition, seed, member_spec(name, base, condition, seed))
        for seed in seeds
        for number, condition in conditions
    ]


def member_spec(name: str, base: Mapping[str, Any], condition: Condition, seed: int) -> JobSpec:
    """The resolved spec of a member.

    Raises:
        ConditionInvalid, SpecInvalid: See `make_members`.
    """
    body = copy.deepcopy(dict(base))
    for path, value in {**condition, SEED: seed}.items():
        _put(body, path, value)
    body["name"] = member_name(name, condition, seed)
    try:
        # Validates JSON text: strict validation rejects some Python values that it accepts in JSON.
        return JobSpec.model_validate_json(json.dumps(body)).resolve()
    except ValidationError as error:
        raise ConditionInvalid(describe(condition), error) from error


def member_name(study: str, condition: Condition, seed: int) -> str:
    """The name of a member: study, values and seed. A long name is cut before the seed."""
    end = f", seed {seed}"
    begin = ", ".join([study, *_assignments(condition)])
    return begin[: MAX_NAME - len(end)] + end


def describe(condition: Condition) -> str:
    """A condition as text, such as `learning_rate=0.0005, epochs=3`; `base` if it has no values."""
    return ", ".join(_assignments(condition)) or "base"


def _assignments(condition: Condition) -> list[str]:
    """`name=value` for each value.

    The name is the last part of the field's path if no other field ends with the same part, else
    the whole path.
    """
    lasts = [path.rpartition(".")[2] for path in condition]
    names = [
        last if lasts.count(last) == 1 else path
        for path, last in zip(condition, lasts, strict=True)
    ]
    return [
        f"{name}={value if isinstance(value, str) else json.dumps(value)}"
        for name, value in zip(names, condition.values(), strict=True)
    ]


def _put(body: dict[str, Any], path: str, value: Any) -> None:  # any JSON value
    *sections, name = path.split(".")
    place = body
    for section in sections:
        inner = place.setdefault(section, {})
        if not isinstance(inner, dict):
            raise SpecInvalid(
                f"the grid has {path}, but {section} is {json.dumps(inner)}, which has no fields; "
                f"omit {section} in the base spec or give it as an object"
            )
        place = inner
    place[name] = copy.deepcopy(value)
