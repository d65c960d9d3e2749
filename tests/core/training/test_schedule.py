"""The learning rate over a run."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.spec.plan import make_plan
from core.spec.training import TrainingSpec
from core.training.optimizers.schedule import learning_rate

NAMES = ["linear", "cosine", "constant", "wsd"]


def rates(name: str, **fields) -> list[float]:
    training = TrainingSpec(
        schedule=name, learning_rate=1.0, max_steps=100, seq_length=8, batch_size=1, **fields
    )
    plan = make_plan(training, num_tokens=10_000)
    return [learning_rate(step, plan, training) for step in range(1, 101)]


@pytest.mark.parametrize("name", NAMES)
def test_it_rises_to_the_peak_over_the_warm_up(name):
    values = rates(name, warmup_steps=10)
    assert values[:10] == pytest.approx([step / 10 for step in range(1, 11)])


@pytest.mark.parametrize(("name", "end"), [("linear", 0.1), ("cosine", 0.1), ("wsd", 0.1)])
def test_it_ends_at_the_floor(name, end):
    assert rates(name, min_learning_rate_ratio=end)[-1] == pytest.approx(end)


def test_constant_stays_and_wsd_stays_until_the_decay():
    assert set(rates("constant", warmup_steps=0)) == {1.0}
    values = rates("wsd", warmup_steps=0, decay_ratio=0.25)
    assert set(values[:75]) == {1.0}
    assert values[80] < 1.0


@given(name=st.sampled_from(NAMES), warmup=st.integers(0, 100), floor=st.floats(0, 1))
def test_it_stays_between_zero_and_the_peak_and_never_rises_after_the_warm_up(name, warmup, floor):
    values = rates(name, warmup_steps=warmup, min_learning_rate_ratio=floor)
    assert all(0.0 <= value <= 1.0 for value in values)
    after = values[max(0, warmup - 1) :]
    assert all(left >= right - 1e-12 for left, right in pairwise(after))
