"""The pipe to a child, its group, and its log."""

import signal
import sys

from worker.child import Child
from worker.host import keep_log_short, oom_kills

PIPE_BYTES = 100_000


def test_a_frozen_child_does_not_freeze_who_watches_it(tmp_path):
    child = Child([sys.executable, "-c", "import time; time.sleep(600)"], log=tmp_path / "log")
    child.send(signal.SIGSTOP)
    for _ in range(PIPE_BYTES):  # more than any pipe holds
        child.beat()
    child.close()
    assert child.poll() == -signal.SIGKILL


def test_secrets_do_not_reach_a_child(tmp_path, monkeypatch):
    monkeypatch.setenv("BABYLM_API_KEY", "sesame")
    program = "import os; print(os.environ.get('BABYLM_API_KEY'))"
    child = Child([sys.executable, "-c", program], log=tmp_path / "log")
    assert child.wait(20) == 0
    child.close()
    assert (tmp_path / "log").read_text() == "None\n"


def test_a_log_that_grew_too_long_is_moved_while_its_writer_goes_on(tmp_path):
    log = tmp_path / "run.log"
    with log.open("ab", buffering=0) as writer:
        writer.write(b"old\n" * 10)
        keep_log_short(log, limit_bytes=40)
        assert log.stat().st_size == 40
        keep_log_short(log, limit_bytes=39)
        writer.write(b"new\n")
    assert log.read_bytes() == b"new\n"
    assert (tmp_path / "run.log.1").read_bytes() == b"old\n" * 10


def test_the_kernels_count_of_processes_ended_for_memory_is_read(tmp_path):
    (tmp_path / "vmstat").write_text("nr_free_pages 1\noom_kill 3\n")
    assert oom_kills(tmp_path / "vmstat") == 3
    assert oom_kills(tmp_path / "nowhere") == 0
