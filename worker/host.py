"""What the host tells: processes it ended for want of memory, and logs that grew too long."""

import os
import shutil
from contextlib import suppress
from pathlib import Path

VMSTAT = Path("/proc/vmstat")
MAX_LOG_BYTES = 32 << 20


def oom_kills(vmstat: Path = VMSTAT) -> int:
    """Processes that the kernel has ended for want of memory since it started; 0 if unknown."""
    with suppress(OSError, ValueError):
        for line in vmstat.read_text().splitlines():
            name, _, count = line.partition(" ")
            if name == "oom_kill":
                return int(count)
    return 0


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
