"""Step counts and learning rate of the fine-tuning on one task. Does not import torch."""

import math
from dataclasses import dataclass

from core.spec.finetune import FinetuneSpec, TaskSettings


@dataclass(frozen=True)
class TaskPlan:
    """The settings and step counts of one task."""

    settings: TaskSettings
    steps_per_epoch: int
    warmup_steps: int

    @classmethod
    def of(cls, spec: FinetuneSpec, task: str, num_examples: int) -> "TaskPlan":
        """The plan for `num_examples` training examples; an incomplete last batch is left out."""
        settings = spec.settings_of(task)
        steps = num_examples // settings.batch_size
        warmup = int(spec.warmup_ratio * steps * settings.epochs)
        return cls(settings, steps, warmup)

    @property
    def max_steps(self) -> int:
        """Number of steps in all epochs together."""
        return self.steps_per_epoch * self.settings.epochs

    def learning_rate(self, step: int, spec: FinetuneSpec) -> float:
        """The learning rate of a step; steps are counted from 1.

        As in the official `cosine_schedule_with_warmup`, the first step has a rate of 0 if there
        is a warm-up.
        """
        done, warmup = step - 1, self.warmup_steps
        if done < warmup:
            return spec.learning_rate * done / warmup
        progress = (done - warmup) / max(1, self.max_steps - warmup)
        floor = spec.min_learning_rate_ratio
        factor = floor + (1.0 - floor) * 0.5 * (1.0 + math.cos(math.pi * progress))
        return spec.learning_rate * max(floor, factor)
