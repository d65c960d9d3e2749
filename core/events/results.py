"""Results of evaluations. This module does not import torch."""

from typing import Literal

from pydantic import BaseModel, ConfigDict


class Found(BaseModel):
    """Base of the results and their parts."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ParadigmScore(Found):
    """The score of one part of a task: a paradigm, a domain or a condition."""

    name: str
    phenomenon: str | None
    pairs: int
    """Number of items, such as pairs or words."""
    score: float
    strict_score: float


class GroupScore(Found):
    """The share of correct items among the items with the same value of an attribute."""

    by: str
    """The attribute, such as `linguistics_term`."""
    name: str
    """The value of the attribute, such as `island_effects`."""
    pairs: int
    score: float
    strict_score: float


class EvaluationResult(Found):
    """The scores of a whole task; `metric` says what they measure.

    `accuracy` ranges from 0 to 1, and `spearman` from -1 to 1. `r2_gain` also ranges from 0 to 1:
    a regression without surprisal leaves a part of the variance unexplained, and `r2_gain` is the
    fraction of this part that surprisal explains. `log_probability` is a mean in nats, 0 at most.
    """

    kind: str = "minimal_pairs"
    metric: Literal["accuracy", "spearman", "r2_gain", "log_probability"] = "accuracy"
    chance: float = 0.5
    score: float
    """The official score. For accuracy: the mean over paradigms, with ties counted as correct."""
    strict_score: float
    """The accuracy with ties counted as wrong; equal to `score` for other metrics."""
    pairs: int
    """Number of items, such as pairs or words."""
    seconds: float
    """Computing time in seconds."""
    paradigms: list[ParadigmScore]
    groups: list[GroupScore] = []
    measures: dict[str, float] = {}
    """Further metrics by name. A fine-tuned task has accuracy, f1 (for two labels), mcc and
    majority (the share of the most frequent label)."""

    def scores(self) -> dict[str, float]:
        """The scores by name, as in an `evaluation` event."""
        whole = {"score": self.score, "strict_score": self.strict_score}
        return (
            whole | self.measures | {f"paradigm/{each.name}": each.score for each in self.paradigms}
        )
