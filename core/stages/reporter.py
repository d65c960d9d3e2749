"""The stages of a run in order, and the reporter of their progress."""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from core.errors import Stopped
from core.events.types import EventData, ProgressData, StageData, StageName

log = logging.getLogger(__name__)

STAGE_SHARES: dict[StageName, float] = {
    "clean": 0.03,
    "tokenizer": 0.04,
    "tokenize": 0.03,
    "compile": 0.01,
    "train": 0.85,
    "evaluate": 0.03,
    "export": 0.01,
}
"""Share of the progress bar for each stage, in order. Training takes nearly all the time of a run;
the other stages get enough to move the bar visibly."""
WHOLE_JOB: tuple[StageName, ...] = ("finetune",)
"""Stages that are the only stage of their run."""
AFTER_TRAINING: tuple[StageName, ...] = ("evaluate", "export", "finetune")
WAITING_SECONDS = 30.0
"""Seconds between two reports of a stage that waits for a result of another run. Without these
reports, the supervisor would end the run as stalled."""
PROGRESS_SECONDS = 0.5
"""Minimum seconds between two progress reports. Each report is a row in the database, and more
frequent reports would not help a reader."""


@dataclass
class StageReport:
    """The counts of a stage, and whether its result came from the cache. The stage sets both."""

    counts: dict[str, Any] = field(default_factory=dict)  # each stage has its own counts
    cached: bool = False


class StageReporter:
    """Writes the `stage` and `progress` events of one run."""

    def __init__(
        self, emit: Callable[[EventData], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._emit = emit
        self._clock = clock
        self._stage: StageName = "clean"
        self._began = clock()
        self._reported_at = float("-inf")

    @contextmanager
    def stage(
        self, name: StageName, *, step: int | None = None, max_steps: int | None = None
    ) -> Iterator[StageReport]:
        """Reports the start of a stage and, if the body raises no error, its end.

        Args:
            name: The stage.
            step: The step from which a stage with steps continues, 0 for a new run.
            max_steps: The last step.
        """
        self._stage, self._reported_at = name, float("-inf")
        self._began = began = self._clock()
        log.info("stage %s", name)
        self._emit(StageData(stage=name, state="started"))
        share = step / max_steps if step and max_steps else 0.0
        self.progress(share, step=step, max_steps=max_steps)
        report = StageReport()
        yield report
        seconds = self._clock() - began
        self.progress(1.0)
        self._emit(
            StageData(
                stage=name,
                state="finished",
                seconds=seconds,
                cached=report.cached,
                counts=report.counts,
            )
        )
        log.info("stage %s took %.1f s%s", name, seconds, " (cached)" if report.cached else "")

    def waiting(self, should_stop: Callable[[], bool]) -> None:
        """Reports regularly that the stage waits for a result that another run builds.

        Raises:
            Stopped: If a stop was requested.
        """
        if should_stop():
            raise Stopped
        if self._clock() - self._reported_at >= WAITING_SECONDS:
            log.info("stage %s waits for another run that builds the same result", self._stage)
            self.progress(0.0)

    def progress(
        self,
        share: float,
        eta_seconds: float | None = None,
        step: int | None = None,
        max_steps: int | None = None,
    ) -> None:
        """Reports that `share` (0 to 1) of the stage is done.

        Skips a report within `PROGRESS_SECONDS` of the previous one, unless `share` is 0 or 1. If
        `eta_seconds` is None, the remaining time of a stage of `AFTER_TRAINING` is extrapolated.
        """
        now = self._clock()
        if 0.0 < share < 1.0 and now - self._reported_at < PROGRESS_SECONDS:
            return
        self._reported_at = now
        if eta_seconds is None and self._stage in AFTER_TRAINING and share > 0.0:
            eta_seconds = (now - self._began) * (1.0 - share) / share
        self._emit(
            ProgressData(
                stage=self._stage,
                progress=overall_progress(self._stage, share),
                stage_progress=share,
                eta_seconds=eta_seconds,
                step=step,
                max_steps=max_steps,
            )
        )


def overall_progress(stage: StageName, share: float) -> float:
    """Completed share of the whole run if `share` of `stage` is completed."""
    if stage in WHOLE_JOB:
        return share
    names = list(STAGE_SHARES)
    before = sum(STAGE_SHARES[name] for name in names[: names.index(stage)])
    return min(1.0, before + STAGE_SHARES[stage] * share)
