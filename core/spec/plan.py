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
class Phase:
    """Consecutive steps with one sequence length and batch size. The first step begins an epoch."""

    first_step: int
    """Number of steps before the phase."""
    first_epoch: int
    """Number of epochs before the phase."""
    seq_length: int
    batch_size: int
    windows: int
    steps_per_epoch: int


@dataclass(frozen=True)
class Plan:
    """Step counts and intervals of a training run, derived from its spec and token count."""

    windows: int
    """Number of sequences per epoch in the last phase. The last sequence may be padded."""
    steps_per_epoch: int
    """Number of steps per epoch in the last phase."""
    max_steps: int
    warmup_steps: int
    decay_steps: int
    """Number of steps over which the `wsd` schedule decays."""
    logging_steps: int
    eval_steps: int
    save_steps: int
    phases: tuple[Phase, ...]

    def phase(self, step: int) -> Phase:
        """The phase of a step. Steps are counted from 1; step 0 belongs to the first phase."""
        return next(
            (phase for phase in reversed(self.phases) if phase.first_step < step), self.phases[0]
        )

    def epoch(self, step: int) -> float:
        """Number of passes over the text in steps 1 to `step`, which may be a fraction."""
        phase = self.phase(step)
        return phase.first_epoch + (step - phase.first_step) / phase.steps_per_epoch

    def parts(self) -> list[tuple[Phase, int]]:
        """The phases with the number of their steps."""
        ends = [phase.first_step for phase in self.phases[1:]] + [self.max_steps]
        return [
            (phase, end - phase.first_step) for phase, end in zip(self.phases, ends, strict=True)
        ]

    def last_epoch_ends(self, count: int) -> tuple[int, ...]:
        """The last step, and the steps that are 1, 2, ... epochs before the last step.

        Returns at most `count` steps, in ascending order.
        """
        end = self.epoch(self.max_steps)
        steps = [self._step_at(end - number) for number in range(count) if end > number]
        return tuple(step for step in reversed(steps) if step > 0)

    def _step_at(self, epoch: float) -> int:
        """The step at the end of `epoch` passes over the text."""
        phase = next(each for each in reversed(self.phases) if each.first_epoch <= epoch)
        return phase.first_step + round((epoch - phase.first_epoch) * phase.steps_per_epoch)


def make_plan(training: TrainingSpec, *, num_tokens: int) -> Plan:
    """The plan for a training file of `num_tokens` tokens.

    A window is a sequence of `seq_length` tokens. For each of these tokens, it predicts the token
    that follows. So every token of the file but the first is predicted once per epoch. The last
    batch of an epoch may be smaller.
    """
    phases = _phases(training, num_tokens)
    last = phases[-1]
    max_steps = last.first_step + max(
        1, ceil((training.epochs - last.first_epoch) * last.steps_per_epoch)
    )
    if training.max_steps is not None:
        max_steps = min(max_steps, training.max_steps)
    phases = [phase for phase in phases if phase.first_step < max_steps]
    warmup = min(DEFAULT_WARMUP_STEPS, max_steps // 10)
    if training.warmup_steps is not None:
        warmup = min(training.warmup_steps, max_steps)
    return Plan(
        windows=phases[-1].windows,
        steps_per_epoch=phases[-1].steps_per_epoch,
        max_steps=max_steps,
        warmup_steps=warmup,
        decay_steps=max(1, round(training.decay_ratio * max_steps)),
        logging_steps=training.logging_steps or max(1, max_steps // LOGGED_POINTS),
        eval_steps=training.eval_steps or _interval(max_steps, at_least=10),
        save_steps=training.save_steps or _interval(max_steps, at_least=5),
        phases=tuple(phases),
    )


def _phases(training: TrainingSpec, num_tokens: int) -> list[Phase]:
    phases: list[Phase] = []
    for each in training.phases:
        step = 0
        if phases:
            before = phases[-1]
            step = before.first_step + (each.begin - before.first_epoch) * before.steps_per_epoch
        windows = max(1, ceil((num_tokens - 1) / each.seq_length))
        per_epoch = ceil(windows / each.batch_size)
        phases.append(Phase(step, each.begin, each.seq_length, each.batch_size, windows, per_epoch))
    return phases


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
