"""Host resources: OOM kills, the memory limit, and the size of log files."""

import os
import shutil
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from core.process.threads import CGROUPS, PROC, cgroup_folders

MAX_LOG_BYTES = 32 << 20


def oom_kills(*, proc: Path = PROC, cgroups: Path = CGROUPS) -> int:
    """Number of processes in the cgroup of this process that the kernel killed for lack of memory.

    Without cgroup accounting the function returns the count of the whole host, which includes
    processes of other users. It returns 0 if the kernel counts nothing.
    """
    for folder in cgroup_folders("memory", proc=proc, cgroups=cgroups):
        # cgroup 2: memory.events, which includes descendants; cgroup 1: memory.oom_control.
        for file in (folder / "memory.events", folder / "memory.oom_control"):
            count = _count(file, "oom_kill")
            if count is not None:
                return count
    return _count(proc / "vmstat", "oom_kill") or 0


def host_memory_bytes(*, proc: Path = PROC, cgroups: Path = CGROUPS) -> int:
    """Bytes of memory that this process may use.

    The minimum of the memory of the host and of the limits of the process's cgroups.
    """
    limit = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for folder in cgroup_folders("memory", proc=proc, cgroups=cgroups):
        for name in ("memory.max", "memory.limit_in_bytes"):
            with suppress(OSError, ValueError):  # missing, or "max"
                limit = min(limit, int((folder / name).read_text()))
    return limit


def _count(file: Path, wanted: str) -> int | None:
    with suppress(OSError, ValueError):
        for line in file.read_text().splitlines():
            name, _, count = line.partition(" ")
            if name == wanted:
                return int(count)
    return None


def append_log(log: Path, line: str) -> None:
    """Appends a line with the time to the log of a run, in the format of the training process."""
    moment = datetime.now().strftime("%Y-%m-%d %H:%M:%S,%f")[:-3]
    with suppress(OSError), log.open("a", encoding="utf-8") as file:  # the disk may be full
        file.write(f"{moment} ERROR {line}\n")


def keep_log_short(log: Path, *, limit_bytes: int = MAX_LOG_BYTES) -> None:
    """Copies a log above the size limit to `<name>.1` and truncates it.

    The log is truncated and not renamed, because the training process has it open for appending.
    """
    with suppress(FileNotFoundError):  # a user removed the log; the run continues without it
        if log.stat().st_size <= limit_bytes:
            return
        with suppress(OSError):  # if the disk is full, truncating the log frees space for the run
            shutil.copyfile(log, log.with_name(log.name + ".1"))
        os.truncate(log, 0)
