"""The state of a run at one moment, computed from its events."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from babylm.client.figures import score_value
from babylm.client.wire import FINAL_STATUSES, Body, Event
from babylm.output import in_bytes, in_short, in_time, printable

LEVEL_NAMES = {"info": "info", "warn": "warning", "error": "error"}
"""The shown name of each level of a warning; warnings of older versions have no level."""


@dataclass
class RunView:
    """The latest values of all events of a run."""

    clock: Callable[[], float] = time.monotonic
    status: str = ""
    stage: str = ""
    progress: float = 0.0
    step: int | None = None
    max_steps: int | None = None
    attempt: int = 1
    values: dict[str, float] = field(default_factory=dict)
    measured_at: dict[str, int] = field(default_factory=dict)
    """The step at which each value was measured."""
    error: Body | None = None
    _ends_at: float | None = None

    def apply(self, event: Event) -> str | None:
        """Applies an event; returns the line to keep on the screen, if any."""
        data = event["data"]
        match event["type"]:
            case "status":
                return self._status(data)
            case "stage":
                return self._stage(data)
            case "progress":
                self._progress(data)
            case "metrics":
                return self._metrics(data)
            case "checkpoint" if data["action"] == "saved":
                return f"checkpoint {data['name']} ({data['kind']}) at step {data['step']}"
            case "sample":
                prompt, text = data["prompt"], data["text"]
                whole = text if text.startswith(prompt) else prompt + text
                return f"step {data['step']}: {printable(whole)!r}"
            case "evaluation":
                scores = ", ".join(
                    f"{name} {score_value(score)}" for name, score in data["scores"].items()
                )
                return f"evaluation {data['task']}: {scores}"
            case "warning":
                level = LEVEL_NAMES.get(data.get("level", "warn"), "warning")
                return f"{level}: {printable(data['message'])}"
            case "error":
                self.error = data
        return None

    @property
    def is_over(self) -> bool:
        """True once the job sends no more events."""
        return self.status in FINAL_STATUSES

    @property
    def eta_seconds(self) -> float | None:
        """Remaining seconds: the last estimate minus the time that has passed since."""
        return None if self._ends_at is None else max(0.0, self._ends_at - self.clock())

    def label(self) -> str:
        """The stage with its step, or the status of a job that waits."""
        if self.status in ("queued", "paused"):
            return self.status
        if self.stage == "train" and self.step is not None:
            total = f"/{self.max_steps}" if self.max_steps else ""
            return f"train, step {self.step}{total}"
        return self.stage or self.status or "waiting"

    def figures(self) -> str:
        """Loss, validation loss, tokens per second and memory, if known."""
        parts = []
        for name, title, shown in (
            ("train/loss", "loss", "{:.3f}"),
            ("validation/loss", "validation", "{:.3f}"),
        ):
            if name in self.values:
                value = shown.format(self.values[name])
                parts.append(f"{title} {at_step(value, self.measured_at[name], self.step)}")
        speed = self.values.get("throughput/tokens_per_second")
        if speed is not None:
            parts.append(f"{in_short(speed)} tokens/s")
        memory = self.values.get("memory/device_peak_bytes") or self.values.get(
            "memory/host_rss_bytes"
        )
        if memory:
            parts.append(in_bytes(memory))
        return "  ".join(parts)

    def line(self) -> str:
        """One line for a log."""
        left = f"{in_time(self.eta_seconds)} left" if self.eta_seconds is not None else ""
        parts = [f"{self.progress:4.0%}", self.label(), self.figures(), left]
        return "  ".join(part for part in parts if part)

    def _status(self, data: Body) -> str | None:
        self.status, self.attempt = data["status"], data["attempt"]
        if self.status == "running":
            self.error = None  # the error was that of an earlier attempt
        else:
            self._ends_at = None
        reason = f": {printable(data['reason'])}" if data.get("reason") else ""
        attempt = f", attempt {self.attempt}" if self.attempt > 1 else ""
        return f"{self.status}{attempt}{reason}"

    def _stage(self, data: Body) -> str | None:
        self.stage = data["stage"]
        if data["state"] == "started":
            return None
        if data.get("cached"):
            return f"{self.stage}: done before"
        return f"{self.stage}: took {in_time(data.get('seconds'))}"

    def _progress(self, data: Body) -> None:
        self.stage, self.progress = data["stage"], data["progress"]
        if data.get("step") is not None:
            self.step, self.max_steps = data["step"], data.get("max_steps")
        eta = data.get("eta_seconds")
        self._ends_at = None if eta is None else self.clock() + eta

    def _metrics(self, data: Body) -> str | None:
        self.step = data["step"]
        values = {name: value for name, value in data["values"].items() if value is not None}
        self.values |= values
        self.measured_at |= dict.fromkeys(values, self.step)
        if "validation/loss" not in values:
            return None
        loss = values["validation/loss"]
        perplexity = values.get("validation/perplexity")
        shown = f", perplexity {perplexity:.4g}" if perplexity is not None else ""
        return f"step {self.step}: validation loss {loss:.4f}{shown}"


def at_step(shown: str, measured_at: int | None, step: int | None) -> str:
    """A value, with the step at which it was measured if that is not `step`."""
    if measured_at is None or measured_at == step:
        return shown
    return f"{shown} at step {measured_at}"
