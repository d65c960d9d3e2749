"""Evaluation options. This module does not import torch."""

import re
from typing import Annotated, Literal

from pydantic import Field, field_validator

from core.spec.section import Section

TASK_NAME = re.compile(r"\A[A-Za-z0-9][A-Za-z0-9._-]{0,39}\Z")
"""Pattern of the names of task folders. They are short, because `evaluation/<task>` is the name of
a metric."""


class EvaluationSpec(Section):
    """Which checkpoints are evaluated after training, and on which tasks."""

    tasks: list[Annotated[str, Field(max_length=40)]] = Field(
        default=[],
        max_length=20,
        description="Names of evaluation tasks, which are folders under evaluations in the data "
        "directory, such as blimp; see GET /v1/evaluations.",
    )
    checkpoints: Literal["last", "milestones"] = Field(
        default="last",
        description="last: the trained model, and its average `ema` if there is one; milestones: "
        "also the checkpoints that the strict tracks require at given numbers of words seen.",
    )

    @field_validator("tasks")
    @classmethod
    def _names_once(cls, tasks: list[str]) -> list[str]:
        for task in tasks:
            if not TASK_NAME.match(task):
                raise ValueError(
                    f"{task!r} must be 1 to 40 ASCII letters, digits, '.', '_' or '-', and must "
                    "start with a letter or digit"
                )
        twice = sorted({task for task in tasks if tasks.count(task) > 1})
        if twice:
            raise ValueError(f"must name each task once; {', '.join(twice)} is named twice")
        return tasks
