"""Warnings about a training that fails or stalls."""

import random
from math import log

import pytest

from core.events.types import WarningData
from core.training.monitoring.health import DIVERGED_VALUES, HealthMonitor, HealthState

VOCAB_SIZE = 2000
UNIFORM = log(VOCAB_SIZE)
RATE = 1e-3


def monitor(
    state: HealthState | None = None, *, max_steps: int = 1000, experts: int = 0
) -> HealthMonitor:
    return HealthMonitor(
        state or HealthState(),
        max_steps=max_steps,
        vocab_size=VOCAB_SIZE,
        peak_rate=RATE,
        experts=experts,
    )


def observed(
    losses: list[float], *, into: HealthMonitor | None = None, first: int = 1, rate: float = RATE
) -> list[tuple[int, WarningData]]:
    judge = into or monitor()
    found = []
    for step, loss in enumerate(losses, first):
        found += [(step, each) for each in judge.observe(step, loss=loss, learning_rate=rate)]
    return found


def learning(count: int = 1000) -> list[float]:
    """Losses of a healthy run: they fall, with noise."""
    noise = random.Random(1)
    return [2.0 + (UNIFORM - 2.0) * 50 / (50 + step) + noise.gauss(0, 0.1) for step in range(count)]


def codes(found: list[tuple[int, WarningData]]) -> list[tuple[str, str]]:
    return [(warning.code, warning.level) for _, warning in found]


def test_a_run_that_is_well_gives_no_warning():
    assert observed(learning()) == []


def test_a_loss_that_rises_and_stays_is_an_error_once():
    losses = learning(100) + [84.0] * 50
    found = observed(losses)
    assert codes(found) == [("loss_spike", "warn"), ("loss_diverged", "error")]
    step, warning = found[1]
    assert step == 100 + DIVERGED_VALUES
    assert "84.000" in warning.message
    assert "training.learning_rate" in warning.message


def test_a_loss_that_rises_from_the_first_step_is_an_error():
    assert codes(observed([UNIFORM + step for step in range(20)])) == [("loss_diverged", "error")]


def test_a_model_that_learns_from_a_bad_beginning_is_well():
    assert observed([2 * UNIFORM - step * 0.1 for step in range(100)]) == []


def test_a_spike_that_recovers_is_a_warning_each_time():
    losses = learning()
    losses[300] += 3.0
    losses[500] += 3.0
    found = observed(losses)
    assert codes(found) == [("loss_spike", "warn")] * 2
    assert [step for step, _ in found] == [301, 501]


def test_a_loss_that_stays_flat_is_an_information_once():
    losses = learning(200) + [learning(200)[-1]] * 600
    found = observed(losses)
    assert codes(found) == [("loss_plateau", "info")]
    assert observed(losses, rate=0.0) == []  # flat because the schedule ends


@pytest.mark.parametrize(
    ("experts", "share", "is_reported"),
    [
        (16, 0.88, True),
        (16, 0.3, False),
        (2, 0.88, False),
        (2, 0.99, True),
    ],
)
def test_an_expert_that_takes_most_tokens_is_a_warning_once(experts, share, is_reported):
    judge = monitor(experts=experts)
    found = []
    for step in range(1, 50):
        found += judge.observe(step, loss=UNIFORM, learning_rate=RATE, expert_share=share)
    expected = [("expert_collapse", "warn")] if is_reported else []
    assert [(each.code, each.level) for each in found] == expected


def test_a_resumed_run_warns_as_one_that_was_not_interrupted():
    losses = learning(100) + [84.0] * 50
    before = HealthState()
    first = observed(losses[:105], into=monitor(before))
    after = HealthState.model_validate_json(before.model_dump_json())
    second = observed(losses[105:], into=monitor(after), first=106)
    assert first + second == observed(losses)
