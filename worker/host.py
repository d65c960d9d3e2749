"""Host resources: OOM kills, the memory limit, and the size of log files."""

import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

PROC = Path("/proc")
CGROUPS = Path("/sys/fs/cgroup")
MAX_LOG_BYTES = 32 << 20


def oom_kills(*, proc: Path = PROC, cgroups: Path = CGROUPS) -> int:
    """Number of processes in this process's cgroup that the kernel has killed for lack of memory.

    Without cgroup accounting it is the count of the whole host, which includes processes of other
    users. 0 if the kernel has no count.
    """
    for folder in _memory_cgroups(proc, cgroups):
        # cgroup 2: memory.events, which includes descendants; cgroup 1: memory.oom_control.
        for file in (folder / "memory.events", folder / "memory.oom_control"):
            count = _count(file, "oom_kill")
            if count is not None:
                return count
    return _count(proc / "vmstat", "oom_kill") or 0


def host_memory_bytes(*, proc: Path = PROC, cgroups: Path = CGROUPS) -> int:
    """Memory that this process may use: that of the host, or the limit of its cgroups."""
    limit = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for folder in _memory_cgroups(proc, cgroups):
        for name in ("memory.max", "memory.limit_in_bytes"):
            with suppress(OSError, ValueError):  # missing, or "max"
                limit = min(limit, int((folder / name).read_text()))
    return limit


def _memory_cgroups(proc: Path, cgroups: Path) -> Iterator[Path]:
    """Folders of this process's cgroup and of its ancestors, whose limits also apply.

    Inside a container the path may be that of the host; then only the root exists.
    """
    with suppress(OSError):
        for line in (proc / "self/cgroup").read_text().splitlines():
            number, _, rest = line.partition(":")
            controllers, _, path = rest.partition(":")
            if number == "0":
                root = cgroups
            elif "memory" in controllers.split(","):
                root = cgroups / "memory"
            else:
                continue
            place = Path(path.lstrip("/"))
            for part in (place, *place.parents):
                yield root / part


def _count(file: Path, wanted: str) -> int | None:
    with suppress(OSError, ValueError):
        for line in file.read_text().splitlines():
            name, _, count = line.partition(" ")
            if name == wanted:
                return int(count)
    return None


def keep_log_short(log: Path, *, limit_bytes: int = MAX_LOG_BYTES) -> None:
    """Copies a log above the size limit to `<name>.1` and truncates it.

    It is truncated, not renamed, because the training process has it open for appending.
    """
    with suppress(FileNotFoundError):  # a user removed it; the run continues without it
        if log.stat().st_size <= limit_bytes:
            return
        with suppress(OSError):  # a full disk: losing the old log frees space for the run
            shutil.copyfile(log, log.with_name(log.name + ".1"))
        os.truncate(log, 0)
