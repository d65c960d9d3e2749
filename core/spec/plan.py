"""The number of steps of a run, and the intervals of logging, validation and saving."""

from dataclasses import dataclass
from math import ceil

from core.spec.training import TrainingSpec

DEFAULT_INTERVAL_STEPS = 500
"""Maximum number of steps between two validations and between two saves, if the spec does not give
the number. The BabyLM-NA2 research scripts validate and save every 500 steps."""
DEFAULT_WARMUP_STEPS = 500
"""Maximum number of warm-up steps, if the spec does not give the number. The research scripts have
this number of warm-up steps."""
LOGGED_POINTS = 1000


@dataclass(frozen=True)
class Plan:
    """Step counts and intervals of a training run, derived from its spec and token count."""

    windows: int
    """Number of sequences per epoch. The last sequence may be padded."""
    steps_per_epoch: int
    max_steps: int
    warmup_steps: int
    decay_steps: int
    """Number of steps over which the `wsd` schedule decays."""
    logging_steps: int
    eval_steps: int
    save_steps: int

    @property
    def epochs(self) -> float:
        """Number of passes over the text in the run, which may be a fraction."""
        return self.max_steps / self.steps_per_epoch


def make_plan(training: TrainingSpec, *, num_tokens: int) -> Plan:
    """The plan for a training file of `num_tokens` tokens.

    A window is a sequence of `seq_length` tokens. For each of these tokens, the model predicts the
    token that follows. So every token of the file but the first is predicted once per epoch. The
    last batch of an epoch may be smaller.
    """
    windows = max(1, ceil((num_tokens - 1) / training.seq_length))
    steps_per_epoch = ceil(windows / training.batch_size)
    max_steps = max(1, ceil(training.epochs * steps_per_epoch))
    if training.max_steps is not None:
        max_steps = min(max_steps, training.max_steps)
    warmup = min(DEFAULT_WARMUP_STEPS, max_steps // 10)
    if training.warmup_steps is not None:
        warmup = min(training.warmup_steps, max_steps)
    return Plan(
        windows=windows,
        steps_per_epoch=steps_per_epoch,
        max_steps=max_steps,
        warmup_steps=warmup,
        decay_steps=max(1, round(training.decay_ratio * max_steps)),
        logging_steps=training.logging_steps or max(1, max_steps // LOGGED_POINTS),
        eval_steps=training.eval_steps or _interval(max_steps, at_least=10),
        save_steps=training.save_steps or _interval(max_steps, at_least=5),
    )


def _interval(max_steps: int, *, at_least: int) -> int:
    return max(1, min(DEFAULT_INTERVAL_STEPS, ceil(max_steps / at_least)))


def milestones(track: str) -> list[tuple[str, int]]:
    """Names and word counts of the checkpoints that a BabyLM track requires.

    A checkpoint is required after every 1M words up to 10M, and after every 10M words up to 100M.
    The track `strict` also requires one after every 100M words up to 1000M. A word counts each time
    it is seen (BabyLM evaluation pipeline 2025 and 2026, README, "Checkpoints").
    """
    millions: list[int] = []
    if track in ("strict-small", "strict"):
        millions = [*range(1, 11), *range(20, 101, 10)]
    if track == "strict":
        millions += range(200, 1001, 100)
    return [(f"chck_{number}M", number * 1_000_000) for number in millions]


def missed_milestones(track: str, words_seen: int | None) -> list[str]:
    """Names of the milestones of a track that a run with this number of words does not reach."""
    if words_seen is None:
        return []
    return [name for name, count in milestones(track) if count > words_seen]
