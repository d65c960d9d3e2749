"""Child processes: heartbeat pipe, environment, log file and OOM count."""

import signal
import sys

from tests.waiting import DEADLINE
from worker.child import Child
from worker.host import host_memory_bytes, keep_log_short, oom_kills

PIPE_BYTES = 100_000


def test_a_frozen_child_does_not_block_its_supervisor(tmp_path):
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
    assert child.wait(DEADLINE) == 0
    child.close()
    assert (tmp_path / "log").read_text() == "None\n"


def test_a_long_log_is_rotated_while_its_writer_continues(tmp_path):
    log = tmp_path / "run.log"
    with log.open("ab", buffering=0) as writer:
        writer.write(b"old\n" * 10)
        keep_log_short(log, limit_bytes=40)
        assert log.stat().st_size == 40
        keep_log_short(log, limit_bytes=39)
        writer.write(b"new\n")
    assert log.read_bytes() == b"new\n"
    assert (tmp_path / "run.log.1").read_bytes() == b"old\n" * 10


def test_the_oom_count_of_the_cgroup_takes_precedence_over_the_hosts(tmp_path):
    proc, cgroups = tmp_path / "proc", tmp_path / "cgroup"
    (proc / "self").mkdir(parents=True)
    (proc / "vmstat").write_text("nr_free_pages 1\noom_kill 3\n")
    assert oom_kills(proc=proc, cgroups=cgroups) == 3
    (proc / "self/cgroup").write_text("0::/slurm/job_7/step_batch\n")
    group = cgroups / "slurm/job_7/step_batch"
    group.mkdir(parents=True)
    (group / "memory.events").write_text("low 0\noom 1\noom_kill 1\noom_group_kill 0\n")
    (cgroups / "slurm/job_7/memory.max").write_text("1048576\n")
    assert oom_kills(proc=proc, cgroups=cgroups) == 1
    assert host_memory_bytes(proc=proc, cgroups=cgroups) == 1 << 20
    (proc / "self/cgroup").write_text("4:cpu,memory:/slurm/job_7\n0::/\n")
    (cgroups / "memory/slurm/job_7").mkdir(parents=True)
    (cgroups / "memory/slurm/job_7/memory.oom_control").write_text("under_oom 0\noom_kill 2\n")
    assert oom_kills(proc=proc, cgroups=cgroups) == 2
    assert oom_kills(proc=tmp_path / "nowhere", cgroups=cgroups) == 0
