"""The number of threads of a training process, and how the threads wait."""

import os

import psutil
import pytest

from core.process.threads import SPIN_COUNT, thread_environment, usable_cpus

CPUS = min(len(os.sched_getaffinity(0)), psutil.cpu_count(logical=False) or 1)


@pytest.fixture
def host(tmp_path):
    """Folders for /proc and cgroups of a process in a container without limits."""
    proc, cgroups = tmp_path / "proc", tmp_path / "cgroup"
    (proc / "self").mkdir(parents=True)
    (proc / "self/cgroup").write_text("0::/service/worker\n")
    (cgroups / "service/worker").mkdir(parents=True)
    (cgroups / "service/worker/cpu.max").write_text("max 100000\n")
    return {"proc": proc, "cgroups": cgroups}


def test_threads_wait_briefly_and_torch_chooses_how_many(host):
    assert thread_environment({}, **host) == {"GOMP_SPINCOUNT": str(SPIN_COUNT)}


def test_thread_settings_of_the_user_stay(host):
    chosen = {"GOMP_SPINCOUNT": "7", "OMP_NUM_THREADS": "3"}
    assert thread_environment(chosen, slots=1000, **host) == {}
    assert "GOMP_SPINCOUNT" not in thread_environment({"OMP_WAIT_POLICY": "ACTIVE"}, **host)


def test_a_cgroup_limits_the_threads(host):
    (host["cgroups"] / "service/cpu.max").write_text(
        "100000 100000\n"
    )  # the limit of a parent group
    assert usable_cpus(**host) == 1
    (host["cgroups"] / "service/cpu.max").write_text("50000 100000\n")
    assert usable_cpus(**host) == 1
    expected = "1" if CPUS > 1 else None
    assert thread_environment({}, **host).get("OMP_NUM_THREADS") == expected


def test_a_quota_of_cgroup_1_limits_the_threads(host):
    (host["proc"] / "self/cgroup").write_text("4:cpu,cpuacct:/service\n")
    folder = host["cgroups"] / "cpu/service"
    folder.mkdir(parents=True)
    (folder / "cpu.cfs_period_us").write_text("100000\n")
    (folder / "cpu.cfs_quota_us").write_text("-1\n")
    assert usable_cpus(**host) == len(os.sched_getaffinity(0))
    (folder / "cpu.cfs_quota_us").write_text("90000\n")
    assert usable_cpus(**host) == 1


def test_slots_share_the_cpus(host):
    threads = thread_environment({}, slots=1000, **host).get("OMP_NUM_THREADS")
    assert threads == ("1" if CPUS > 1 else None)
