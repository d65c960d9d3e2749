"""Metrics of steps and the warnings about them."""

import torch

from core.dataset.batches import Batches
from core.spec.plan import make_plan
from core.training.execution.device import choose_device
from core.training.monitoring.health import DIVERGED_VALUES, HealthState
from core.training.monitoring.measurements import Measurements
from core.training.step import StepResult


def test_rising_loss_and_collapsed_experts_are_reported_after_their_metrics(tiny_run):
    run = tiny_run("llama4", max_steps=30)
    training = run.spec.training
    events: list = []
    measurements = Measurements(
        run.spec,
        make_plan(training, num_tokens=run.train.num_tokens),
        Batches.of(run.train, training),
        choose_device(training),
        events.append,
        vocab_size=run.train.vocab_size,
        peak_flops=1e9,
    )
    state = HealthState()
    measurements.watch(state)
    routing = {"experts/max_load_share": torch.tensor(0.99)}
    for step in range(1, 21):
        loss = 5.0 if step < 5 else 84.0
        measurements.log_step(
            step,
            StepResult(torch.tensor(loss), torch.tensor(1.0), routing),
            learning_rate=1.0,
            loss_scale=None,
            seconds=1.0,
            since=step - 1,
        )
    steps = [event.step for event in events if hasattr(event, "values")]
    assert steps == list(range(1, 21))
    found = [
        (event.code, event.level, events[number - 1].step)
        for number, event in enumerate(events)
        if hasattr(event, "code")
    ]
    assert found == [
        ("expert_collapse", "warn", 5),
        ("loss_diverged", "error", 4 + DIVERGED_VALUES),
    ]
    assert set(state.active) == {"expert_collapse", "loss_diverged"}
