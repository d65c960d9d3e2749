"""Computed steps, intervals and milestones."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.spec.plan import make_plan, milestones
from core.spec.training import TrainingSpec


def test_every_token_but_the_first_is_predicted_once_an_epoch():
    plan = make_plan(TrainingSpec(seq_length=8, batch_size=2, epochs=1.0), num_tokens=8 * 5 + 1)
    assert (plan.windows, plan.steps_per_epoch, plan.max_steps) == (5, 3, 3)
    one_more = make_plan(TrainingSpec(seq_length=8, batch_size=2, epochs=1.0), num_tokens=8 * 5 + 2)
    assert one_more.windows == 6


def test_max_steps_only_shortens():
    training = TrainingSpec(seq_length=8, batch_size=2, epochs=2.0, max_steps=5)
    assert make_plan(training, num_tokens=1000).max_steps == 5
    assert make_plan(training, num_tokens=20).max_steps == 4


@given(num_tokens=st.integers(1, 10**9), epochs=st.floats(0.01, 20))
def test_intervals_are_positive_and_warm_up_fits(num_tokens, epochs):
    plan = make_plan(TrainingSpec(epochs=epochs), num_tokens=num_tokens)
    assert min(plan.logging_steps, plan.eval_steps, plan.save_steps, plan.decay_steps) >= 1
    assert 0 <= plan.warmup_steps <= plan.max_steps


@pytest.mark.parametrize(
    ("track", "count", "last"),
    [("free", 0, None), ("strict-small", 19, "chck_100M"), ("strict", 28, "chck_1000M")],
)
def test_milestones_are_those_of_the_track(track, count, last):
    names = [name for name, _ in milestones(track)]
    assert len(names) == count
    assert (names[-1] if names else None) == last
    assert names[:1] in ([], ["chck_1M"])
