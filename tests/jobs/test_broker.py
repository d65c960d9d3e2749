"""Queue and doorbell on a real server, and on one that is away or frozen."""

import signal
import threading
import time

import pytest

from jobs.doorbell import Doorbell, Listener
from jobs.queue import Bell

pytestmark = pytest.mark.system


def test_ringing_fills_the_queue_up_and_not_beyond(broker):
    _, url = broker
    bell = Bell(url)
    assert bell.ring("train", 2)
    assert bell.ring("train", 2)
    assert bell._redis.llen("train") == 2
    bell.close()


def test_a_listener_hears_which_job_rang(broker):
    _, url = broker
    heard = threading.Event()
    ids = []
    listener = Listener(url, lambda job_id: (ids.append(job_id), heard.set()))
    listener.start()
    doorbell = Doorbell(url)
    deadline = time.monotonic() + 10
    while not heard.is_set() and time.monotonic() < deadline:
        doorbell.ring("abc")
        heard.wait(0.05)
    listener.stop()
    listener.join(5)
    doorbell.close()
    assert ids[0] == "abc"


def test_without_a_server_nothing_fails_and_nothing_waits_long(tmp_path):
    url = f"redis+socket://{tmp_path / 'nowhere.sock'}"
    bell, doorbell = Bell(url), Doorbell(url)
    began = time.monotonic()
    assert not bell.ring("train", 1)
    assert not bell.ping()
    doorbell.ring("abc")
    doorbell.ring("abc")
    assert time.monotonic() - began < 5
    doorbell.close()
    bell.close()


def test_a_frozen_server_holds_up_a_ring_for_a_moment_at_most(broker):
    process, url = broker
    doorbell = Doorbell(url)
    doorbell.ring("abc")
    process.send_signal(signal.SIGSTOP)
    try:
        began = time.monotonic()
        doorbell.ring("abc")
        first = time.monotonic() - began
        began = time.monotonic()
        doorbell.ring("abc")  # it has just been silent: not asked again
        assert time.monotonic() - began < 0.05
        assert first < 2
    finally:
        process.send_signal(signal.SIGCONT)
        doorbell.close()
