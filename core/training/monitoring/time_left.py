"""Estimates the remaining time of a run, including validations, saves and later stages."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from core.spec.plan import Plan


@dataclass
class _Mean:
    seconds: float = 0.0
    count: int = 0

    def add(self, seconds: float) -> None:
        self.seconds += seconds
        self.count += 1

    @property
    def value(self) -> float:
        return self.seconds / self.count if self.count else 0.0


class TimeLeft:
    """Estimates the remaining time from the durations that were measured in this attempt."""

    def __init__(
        self,
        plan: Plan,
        *,
        later_validations: float = 0.0,
        later_saves: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Prepares the estimate.

        Args:
            plan: The plan of the run.
            later_validations: Expected time of evaluations after training, as a multiple of the
                time of a validation.
            later_saves: Expected time of reading and writing files after training, as a multiple of
                the time of a save.
            clock: Returns the time in seconds.
        """
        self._plan = plan
        self._later_validations, self._later_saves = later_validations, later_saves
        self._clock = clock
        self._steps, self._validations, self._saves = _Mean(), _Mean(), _Mean()

    def add_step(self, seconds: float) -> None:
        """Adds the duration of a step, without a validation or a save after the step."""
        self._steps.add(seconds)

    @contextmanager
    def validation(self) -> Iterator[None]:
        """Measures a validation, including the time to save a checkpoint `best`."""
        yield from self._measure(self._validations)

    @contextmanager
    def save(self) -> Iterator[None]:
        """Measures a save."""
        yield from self._measure(self._saves)

    def seconds(self, step: int) -> float:
        """Seconds from the end of `step` to the end of the run."""
        last = self._plan.max_steps
        validations = _due(step, last, self._plan.eval_steps) + self._later_validations
        saves = _due(step, last, self._plan.save_steps) + self._later_saves
        return (
            (last - step) * self._steps.value
            + validations * self._validations.value
            + saves * self._saves.value
        )

    def _measure(self, mean: _Mean) -> Iterator[None]:
        began = self._clock()
        yield
        mean.add(self._clock() - began)


def _due(step: int, last: int, interval: int) -> int:
    """Number of steps after `step` that are a multiple of `interval` or the last step."""
    if step >= last:
        return 0
    return (last - 1) // interval - step // interval + 1
