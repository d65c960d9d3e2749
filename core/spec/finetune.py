"""Options of fine-tuning a checkpoint on classification tasks.

The defaults are those of babylm/evaluation-pipeline-2025. Learning rate, batch size, epochs,
sequence length, seed and metric are those of its script `eval_finetuning.sh`. The other options are
the defaults of `evaluation_pipeline/finetune/run.py`, which the script calls. This module does not
import torch.
"""

import re
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field, field_validator

from core.spec.evaluation import TASK_NAME
from core.spec.section import Section

FOLDER_NAME = re.compile(r"\A[A-Za-z0-9][A-Za-z0-9._-]*\Z")
OfficialMetric = Literal["accuracy", "f1", "mcc"]
VALIDATION_BATCH_SIZE = 64
"""Number of examples in a batch of the validation. The result does not depend on this number."""


@dataclass(frozen=True)
class TaskSettings:
    """The settings that are not the same for all official tasks."""

    epochs: int = 10
    batch_size: int = 32
    metric: OfficialMetric = "accuracy"


OFFICIAL: dict[str, TaskSettings] = {
    "boolq": TaskSettings(batch_size=16),
    "multirc": TaskSettings(batch_size=16),
    "wsc": TaskSettings(epochs=30),
    "mrpc": TaskSettings(metric="f1"),
    "qqp": TaskSettings(metric="f1"),
}
"""Official settings of the tasks that do not use the defaults of `TaskSettings`."""


class FinetuneSpec(Section):
    """The checkpoint that is fine-tuned, the tasks, and the settings of the fine-tuning."""

    job: str = Field(max_length=64, description="Id of the job that has the checkpoint.")
    checkpoint: str = Field(
        default="last", max_length=64, description="Name of the checkpoint, such as chck_10M."
    )
    folder: str = Field(
        default="glue_filtered",
        max_length=40,
        description="Folder under evaluations in the data directory that has the files "
        "TASK.train.jsonl and TASK.valid.jsonl of each task.",
    )
    tasks: list[Annotated[str, Field(max_length=40)]] | None = Field(
        default=None,
        max_length=20,
        description="Tasks of the folder, such as boolq, in the order in which they run; null "
        "runs all of them.",
    )
    learning_rate: float = Field(
        default=3e-5, gt=0.0, le=1.0, description="Peak learning rate of AdamW."
    )
    epochs: int | None = Field(
        default=None,
        ge=1,
        le=1000,
        description="Number of passes over the training examples; null: 30 for wsc, 10 for other "
        "tasks.",
    )
    batch_size: int | None = Field(
        default=None,
        ge=1,
        le=4096,
        description="Number of examples per step; null: 16 for boolq and multirc, 32 for other "
        "tasks. An epoch leaves out the last examples if they do not fill a batch.",
    )
    sequence_length: int = Field(
        default=512,
        ge=2,
        le=1_048_576,
        description="Maximum number of tokens in an input; longer inputs are truncated.",
    )
    metric: OfficialMetric | None = Field(
        default=None,
        description="Metric that selects the best epoch; null: f1 for mrpc and qqp, accuracy for "
        "other tasks.",
    )
    pooling: Literal["last", "first"] = Field(
        default="last",
        description="The token that gives the hidden state for the classifier: the last or the "
        "first token of the input. last is what the official script does with `--take_final "
        "--padding_side left`; first is what it does without these flags. With first, a causal "
        "model sees only one token of the input.",
    )
    classifier_dropout: float = Field(
        default=0.1, ge=0.0, lt=1.0, description="Dropout before the last layer of the head."
    )
    weight_decay: float = Field(
        default=0.01, ge=0.0, le=1.0, description="Weight decay of AdamW on all parameters."
    )
    warmup_ratio: float = Field(
        default=0.06,
        ge=0.0,
        le=1.0,
        description="Fraction of the steps that are warm-up, in which the learning rate rises.",
    )
    min_learning_rate_ratio: float = Field(
        default=0.1, ge=0.0, le=1.0, description="Final learning rate as a fraction of the peak."
    )
    seed: int = Field(
        default=42,
        ge=0,
        le=2**31 - 1,
        description="Seed of the initial weights of the head, the order of the examples and the "
        "dropout.",
    )

    @field_validator("job", "checkpoint", "folder")
    @classmethod
    def _folder_names(cls, name: str) -> str:
        if not FOLDER_NAME.match(name):
            raise ValueError(
                "must be ASCII letters, digits, '.', '_' or '-', and must start with a letter or "
                "digit"
            )
        return name

    @field_validator("tasks")
    @classmethod
    def _names_once(cls, tasks: list[str] | None) -> list[str] | None:
        if tasks is None:
            return None
        if not tasks:
            raise ValueError("must name at least one task, or be null to run all tasks")
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

    def settings_of(self, task: str) -> TaskSettings:
        """The settings of a task. A field that is null in this spec has its official value."""
        official = OFFICIAL.get(task, TaskSettings())
        return TaskSettings(
            epochs=official.epochs if self.epochs is None else self.epochs,
            batch_size=official.batch_size if self.batch_size is None else self.batch_size,
            metric=official.metric if self.metric is None else self.metric,
        )
