"""What the host tells: processes it ended for want of memory, its memory, and long logs."""

import os
import shutil
from contextlib import suppress
from pathlib import Path

from core.process.threads import CGROUPS, PROC, cgroup_folders

MAX_LOG_BYTES = 32 << 20
NO_LIMIT_BYTES = 1 << 60
"""cgroup 1 says about 2^63 where there is no limit."""


def oom_kills(*, proc: Path = PROC, cgroups: Path = CGROUPS) -> int:
    """Processes that the kernel has ended for want of memory in this process's cgroup.

    The whole host's count, where no cgroup is accounted: on a host that several jobs share it also
    counts the processes of others. 0 if nothing is known.
    """
    for folder in cgroup_folders("memory", proc=proc, cgroups=cgroups):
        # cgroup 2: memory.events counts the groups below too; cgroup 1: memory.oom_control.
        for file in (folder / "memory.events", folder / "memory.oom_control"):
            count = _count(file, "oom_kill")
            if count is not None:
                return count
    return _count(proc / "vmstat", "oom_kill") or 0


def host_memory_bytes(*, proc: Path = PROC, cgroups: Path = CGROUPS) -> int:
    """Memory that this process may use: the host's, or less where a cgroup limits it."""
    limit = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for folder in cgroup_folders("memory", proc=proc, cgroups=cgroups):
        for name in ("memory.max", "memory.limit_in_bytes"):
            with suppress(OSError, ValueError):  # not there, or "max"
                limit = min(limit, int((folder / name).read_text()))
    return limit


def _count(file: Path, wanted: str) -> int | None:
    with suppress(OSError, ValueError):
        for line in file.read_text().splitlines():
            name, _, count = line.partition(" ")
            if name == wanted:
                return int(count)
    return None


def keep_log_short(log: Path, *, limit_bytes: int = MAX_LOG_BYTES) -> None:
    """Moves what is in a log that grew too long to `<name>.1`.

    The file stays the same, because the process that appends to it has it open.
    """
    with suppress(FileNotFoundError):  # somebody removed it; the run goes on
        if log.stat().st_size <= limit_bytes:
            return
        with suppress(OSError):  # a full disk: better no old log than no room for the rest
            shutil.copyfile(log, log.with_name(log.name + ".1"))
        os.truncate(log, 0)
