"""Queue and notifications with a real server, and with one that is unavailable or frozen."""

import signal
import threading
import time

import pytest

from jobs.notifier import JobNotifier, Listener
from jobs.queue import QueueNotifier

pytestmark = pytest.mark.system


def test_notifications_fill_the_queue_up_to_the_limit(broker):
    _, url = broker
    notifier = QueueNotifier(url)
    assert notifier.notify("train", 2)
    assert notifier.notify("train", 2)
    assert notifier._redis.llen("train") == 2
    notifier.close()


def test_a_listener_receives_the_id_of_the_job(broker):
    _, url = broker
    on_message = threading.Event()
    ids = []
    listener = Listener(url, lambda job_id: (ids.append(job_id), on_message.set()))
    listener.start()
    job_notifier = JobNotifier(url)
    deadline = time.monotonic() + 10
    while not on_message.is_set() and time.monotonic() < deadline:
        job_notifier.notify("abc")
        on_message.wait(0.05)
    listener.stop()
    listener.join(5)
    job_notifier.close()
    assert ids[0] == "abc"


def test_without_a_server_nothing_fails_or_blocks(tmp_path):
    url = f"redis+socket://{tmp_path / 'nowhere.sock'}"
    notifier, job_notifier = QueueNotifier(url), JobNotifier(url)
    began = time.monotonic()
    assert not notifier.notify("train", 1)
    assert not notifier.ping()
    job_notifier.notify("abc")
    job_notifier.notify("abc")
    assert time.monotonic() - began < 5
    job_notifier.close()
    notifier.close()


def test_a_frozen_server_delays_a_notification_only_briefly(broker):
    process, url = broker
    job_notifier = JobNotifier(url)
    job_notifier.notify("abc")
    process.send_signal(signal.SIGSTOP)
    try:
        began = time.monotonic()
        job_notifier.notify("abc")
        first = time.monotonic() - began
        began = time.monotonic()
        job_notifier.notify("abc")  # it has just been silent: not asked again
        assert time.monotonic() - began < 0.05
        assert first < 2
    finally:
        process.send_signal(signal.SIGCONT)
        job_notifier.close()
