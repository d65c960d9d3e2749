"""Progress goes up from 0 to 1 over the stages, and is not reported too often."""

import pytest

from core.errors import Stopped
from core.events.types import ProgressData, StageData
from core.stages.reporter import STAGE_SHARES, WAITING_SECONDS, StageReporter, overall_progress


def test_shares_sum_to_the_whole():
    assert abs(sum(STAGE_SHARES.values()) - 1.0) < 1e-9
    assert overall_progress("clean", 0.0) == 0.0
    assert abs(overall_progress("export", 1.0) - 1.0) < 1e-9


def test_progress_never_falls_and_every_stage_reports_start_and_end():
    events, clock = [], iter(range(1000))
    reporter = StageReporter(events.append, clock=lambda: float(next(clock)))
    for name in STAGE_SHARES:
        with reporter.stage(name) as stage:
            reporter.progress(0.5)
            stage.counts = {"seen": 1}
    progress = [event.progress for event in events if isinstance(event, ProgressData)]
    assert progress == sorted(progress)
    states = [(event.stage, event.state) for event in events if isinstance(event, StageData)]
    assert states == [(name, state) for name in STAGE_SHARES for state in ("started", "finished")]


def test_the_stages_after_training_say_how_long_they_take():
    events, now = [], [0.0]
    reporter = StageReporter(events.append, clock=lambda: now[0])
    with reporter.stage("evaluate"):
        now[0] = 30.0
        reporter.progress(0.25)
    progress = [event for event in events if isinstance(event, ProgressData)]
    assert [event.eta_seconds for event in progress] == [None, 90.0, 0.0]


def test_a_stage_that_continues_reports_its_step_first():
    events = []
    reporter = StageReporter(events.append, clock=lambda: 0.0)
    with reporter.stage("train", step=30, max_steps=60):
        pass
    first = next(event for event in events if isinstance(event, ProgressData))
    assert (first.stage_progress, first.step, first.max_steps) == (0.5, 30, 60)
    assert first.progress == overall_progress("train", 0.5)


def test_reports_that_come_too_soon_are_left_out():
    events = []
    reporter = StageReporter(events.append, clock=lambda: 0.0)
    with reporter.stage("train"):
        for number in range(1, 100):
            reporter.progress(number / 100)
    assert len([event for event in events if isinstance(event, ProgressData)]) == 2


def test_a_stage_that_waits_for_another_run_reports_seldom_and_can_be_stopped():
    events, now = [], [0.0]
    reporter = StageReporter(events.append, clock=lambda: now[0])
    with reporter.stage("clean"):
        before = len(events)
        reporter.waiting(lambda: False)
        assert len(events) == before
        now[0] = WAITING_SECONDS
        reporter.waiting(lambda: False)
        assert [event.stage for event in events[before:]] == ["clean"]
        with pytest.raises(Stopped):
            reporter.waiting(lambda: True)
