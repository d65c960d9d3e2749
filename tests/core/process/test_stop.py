"""A run stops on request, and if its supervisor is dead or silent."""

import os
import threading

from core.process.stop import StopSignal
from tests.waiting import DEADLINE


def watched(silence_seconds: float) -> tuple[StopSignal, int, threading.Event]:
    reader, writer = os.pipe()
    stop, abandoned = StopSignal(), threading.Event()
    stop.watch_supervisor(
        file=reader,
        silence_seconds=silence_seconds,
        deadline_seconds=0.05,
        abandon=abandoned.set,
    )
    return stop, writer, abandoned


def test_the_first_reason_stays():
    stop = StopSignal()
    assert not stop()
    stop.request("first")
    stop.request("second")
    assert stop()
    assert stop.reason == "first"


def test_a_supervisor_that_died_stops_the_run_and_then_ends_it_hard():
    stop, writer, abandoned = watched(silence_seconds=3600)
    os.write(writer, b".")
    assert not stop()
    os.close(writer)
    assert abandoned.wait(DEADLINE)
    assert stop.reason == "supervisor gone"


def test_a_silent_supervisor_stops_the_run():
    stop, writer, abandoned = watched(silence_seconds=0.05)
    assert abandoned.wait(DEADLINE)
    assert stop.reason == "supervisor silent"
    os.close(writer)


def test_a_stop_before_training_ends_the_process_at_once():
    left = []
    stop = StopSignal(leave=lambda: left.append("at once"))
    stop.request("early")
    assert left == ["at once"]
    gentle = StopSignal(leave=lambda: left.append("late"))
    gentle.hold()
    gentle.request("later")
    assert gentle()
    assert left == ["at once"]


def test_decreasing_heartbeats_of_a_supervisor_without_database_stop_the_run():
    stop, writer, abandoned = watched(silence_seconds=60)
    os.write(writer, bytes([255, 1]))  # 1/255 of the 60 seconds is left
    assert abandoned.wait(DEADLINE)
    assert stop.reason == "supervisor silent"
    os.close(writer)
