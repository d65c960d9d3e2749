"""Queue and notifications with a real server, and with one that is unavailable or frozen."""

import socket

import pytest

from jobs.notifier import SILENT_SECONDS, JobNotifier, Listener
from jobs.queue import QueueNotifier
from tests.waiting import wait_for

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
    ids = []
    listener = Listener(url, ids.append)
    listener.start()
    job_notifier = JobNotifier(url)

    def received() -> bool:
        job_notifier.notify("abc")  # again, because the listener subscribes at some later time
        return bool(ids)

    wait_for(received, what="a notification")
    listener.stop()
    listener.join()
    job_notifier.close()
    assert set(ids) == {"abc"}


def test_without_a_server_nothing_fails(tmp_path):
    url = f"redis+socket://{tmp_path / 'nowhere.sock'}"
    notifier, job_notifier = QueueNotifier(url), JobNotifier(url)
    assert not notifier.notify("train", 1)
    assert not notifier.ping()
    job_notifier.notify("abc")
    job_notifier.close()
    notifier.close()


def test_a_frozen_server_is_tried_again_only_after_a_pause(tmp_path):
    now = [0.0]
    with socket.socket(socket.AF_UNIX) as frozen:  # accepts connections and never answers
        frozen.bind(str(tmp_path / "r.sock"))
        frozen.listen()
        frozen.setblocking(False)
        job_notifier = JobNotifier(f"redis+socket://{tmp_path}/r.sock", clock=lambda: now[0])

        def connections() -> int:
            job_notifier.notify("abc")  # returns, although the server does not answer
            try:
                frozen.accept()[0].close()
            except BlockingIOError:
                return 0
            return 1

        tries = []
        for seconds in (0.0, SILENT_SECONDS / 2, SILENT_SECONDS):
            now[0] = seconds
            tries.append(connections())
        job_notifier.close()
    assert tries == [1, 0, 1]
