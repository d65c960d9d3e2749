"""The remaining time of a run."""

from dataclasses import replace

import pytest

from core.spec.plan import make_plan
from core.spec.training import TrainingSpec
from core.training.monitoring.time_left import TimeLeft

PLAN = replace(
    make_plan(TrainingSpec(), num_tokens=1_000_000), max_steps=100, eval_steps=30, save_steps=40
)


def measured(**later: float) -> TimeLeft:
    """The state after a validation of 10 s, a save of 5 s, and two steps of 1 s on average."""
    now = [0.0]
    time_left = TimeLeft(PLAN, clock=lambda: now[0], **later)
    with time_left.validation():
        now[0] += 10.0
    with time_left.save():
        now[0] += 5.0
    time_left.add_step(0.5)
    time_left.add_step(1.5)
    return time_left


@pytest.mark.parametrize(
    ("step", "steps", "validations", "saves"),
    [
        (0, 100, 4, 3),  # validations after 30, 60, 90 and 100 steps, saves after 40, 80 and 100
        (29, 71, 4, 3),
        (30, 70, 3, 3),
        (90, 10, 1, 1),
        (99, 1, 1, 1),
        (100, 0, 0, 0),
    ],
)
def test_the_time_left_includes_validations_and_saves(step, steps, validations, saves):
    assert measured().seconds(step) == steps * 1.0 + validations * 10.0 + saves * 5.0


def test_the_stages_after_training_count():
    assert measured(later_validations=2.5, later_saves=1.0).seconds(100) == 2.5 * 10.0 + 5.0


def test_without_measurements_the_time_left_is_zero():
    assert TimeLeft(PLAN, later_saves=1.0).seconds(0) == 0.0
