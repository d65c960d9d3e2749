"""The CPU threads of a training process: how many, and how they wait for each other."""

import math
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

import psutil

PROC = Path("/proc")
CGROUPS = Path("/sys/fs/cgroup")
SPIN_COUNT = 1000
"""Iterations that a thread of GNU OpenMP spins at a barrier before it sleeps. By default a thread
spins for milliseconds. If other programs use the same cores, the spinning thread takes time from
the thread that it waits for, and two runs at once block each other. See "Threads" in
benchmarks/README.md."""


def usable_cpus(*, proc: Path = PROC, cgroups: Path = CGROUPS) -> int:
    """Number of CPUs that this process may use.

    This is the number of CPUs in its affinity mask, or less if a cgroup limits the CPU time.
    """
    cpus = len(os.sched_getaffinity(0))
    for folder in cgroup_folders("cpu", proc=proc, cgroups=cgroups):
        limit = _cpu_limit(folder)
        if limit is not None:
            cpus = min(cpus, max(1, math.ceil(limit)))
    return cpus


def thread_environment(
    environment: Mapping[str, str],
    *,
    slots: int = 1,
    proc: Path = PROC,
    cgroups: Path = CGROUPS,
) -> dict[str, str]:
    """Variables to add to the environment of a training process, except those that are already set.

    Args:
        environment: The environment of the parent.
        slots: Number of training processes that share the CPUs.
        proc: The proc file system.
        cgroups: The cgroup file system.
    """
    added = {"GOMP_SPINCOUNT": str(SPIN_COUNT)}
    if (
        "OMP_WAIT_POLICY" in environment
    ):  # the user has chosen a wait policy, which a spin count would override
        added = {}
    cpus = usable_cpus(proc=proc, cgroups=cgroups)
    threads = max(1, cpus // slots)
    # torch starts a thread for each physical core of its affinity, and ignores CPU quotas.
    if threads < min(len(os.sched_getaffinity(0)), psutil.cpu_count(logical=False) or cpus):
        added["OMP_NUM_THREADS"] = str(threads)
    return {name: value for name, value in added.items() if name not in environment}


def cgroup_folders(
    controller: str, *, proc: Path = PROC, cgroups: Path = CGROUPS
) -> Iterator[Path]:
    """Folders of this process's cgroup and of its ancestors. The limits of all of them apply.

    In cgroup 1, each controller has its own cgroup.

    Inside a container the path may be the path on the host; then only the root folder exists.
    """
    with suppress(OSError):
        for line in (proc / "self/cgroup").read_text().splitlines():
            number, _, rest = line.partition(":")
            controllers, _, path = rest.partition(":")
            if number == "0":
                root = cgroups
            elif controller in controllers.split(","):
                root = cgroups / controller
            else:
                continue
            place = Path(path.lstrip("/"))
            for part in (place, *place.parents):
                yield root / part


def _cpu_limit(folder: Path) -> float | None:
    """The CPU quota of a cgroup as a number of CPUs; None if unlimited.

    In cgroup 2 the quota is in `cpu.max`, in cgroup 1 in `cpu.cfs_quota_us`.
    """
    with suppress(OSError, ValueError):
        quota, period = (folder / "cpu.max").read_text().split()
        return int(quota) / int(period)  # the quota may be "max"
    with suppress(OSError, ValueError):
        microseconds = int((folder / "cpu.cfs_quota_us").read_text())
        period_microseconds = int((folder / "cpu.cfs_period_us").read_text())
        return microseconds / period_microseconds if microseconds > 0 else None
    return None
