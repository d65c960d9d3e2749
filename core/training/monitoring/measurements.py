"""Emits the measurements of a run as events: the metrics of logged steps, and warnings."""

import logging
from collections.abc import Callable, Mapping
from math import isfinite

from core.dataset.batches import Batches
from core.events.types import EventData, MetricsData, WarningData
from core.spec.job import JobSpec
from core.spec.plan import Plan
from core.training.execution.device import Device, memory_metrics
from core.training.monitoring.health import HealthMonitor, HealthState
from core.training.step import StepResult

log = logging.getLogger(__name__)

LOG_LEVELS = {"info": logging.INFO, "warn": logging.WARNING, "error": logging.ERROR}


class Measurements:
    """Emits the measurements of one run."""

    def __init__(
        self,
        spec: JobSpec,
        plan: Plan,
        batches: Batches,
        device: Device,
        emit: Callable[[EventData], None],
        *,
        vocab_size: int,
        peak_flops: float,
    ) -> None:
        """`peak_flops` is the sum of the peak rates of all devices of the run."""
        self._spec, self._plan, self._batches, self._device = spec, plan, batches, device
        self._emit = emit
        self._vocab_size, self._peak_flops = vocab_size, peak_flops
        self.watch(HealthState())

    def watch(self, state: HealthState) -> None:
        """Starts a health monitor that continues from `state`; the monitor changes `state`."""
        self._health = HealthMonitor(
            state,
            max_steps=self._plan.max_steps,
            vocab_size=self._vocab_size,
            peak_rate=self._spec.training.learning_rate,
            experts=getattr(self._spec.model, "num_local_experts", 0),
        )

    def log_step(
        self,
        step: int,
        result: StepResult,
        *,
        learning_rate: float,
        loss_scale: float | None,
        seconds: float,
        since: int,
    ) -> None:
        """Emits the metrics of a step, and new warnings. Waits until the device ends the step.

        Args:
            step: The step.
            result: The measurements of the step.
            learning_rate: Learning rate of the step.
            loss_scale: Factor of the loss scaling; None without loss scaling.
            seconds: Duration of the steps from `since` + 1 to `step`, without validations and
                saves.
            since: The previous logged step.
        """
        tokens = self._batches.tokens_seen(step) - self._batches.tokens_seen(since)
        words = self._batches.words_seen(step) - self._batches.words_seen(since)
        flops = self._spec.model.flops_per_token(
            vocab_size=self._vocab_size, seq_length=self._spec.training.seq_length
        )
        values = {
            "train/loss": result.loss.item(),
            "train/learning_rate": learning_rate,
            "train/grad_norm": result.grad_norm.item(),
            "throughput/tokens_per_second": tokens / seconds,
            "throughput/words_per_second": words / seconds,
            "throughput/mfu": tokens / seconds * flops / self._peak_flops,
        }
        values |= {name: value.item() for name, value in result.routing.items()}
        values |= memory_metrics(self._device)
        if loss_scale is not None:
            values["train/loss_scale"] = loss_scale
        self.emit_metrics(step, values)
        for warning in self._health.observe(
            step,
            loss=values["train/loss"],
            learning_rate=learning_rate,
            expert_share=values.get("experts/max_load_share"),
        ):
            log.log(LOG_LEVELS[warning.level], "%s: %s", warning.code, warning.message)
            self._emit(warning)

    def emit_metrics(self, step: int, values: Mapping[str, float | None]) -> None:
        """Emits metrics. A value that is not finite becomes null and causes a warning."""
        finite = {
            name: value if value is not None and isfinite(value) else None
            for name, value in values.items()
        }
        self._emit(
            MetricsData(
                step=step,
                epoch=self._batches.epoch(step),
                tokens_seen=self._batches.tokens_seen(step),
                words_seen=self._batches.words_seen(step),
                values=finite,
            )
        )
        for name in [name for name, value in finite.items() if value is None]:
            message = f"the metric {name} is not finite at step {step}"
            self._emit(WarningData(code="not_finite", message=message))
