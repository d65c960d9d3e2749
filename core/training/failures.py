"""Which exceptions of torch and the system mean what to a user."""

import errno
import os
from pathlib import Path

import torch

from core.errors import DiskFull, OutOfMemory, RunError

LOW_DISK_BYTES = 16 << 20
"""Less free space than this, and a failed write is put down to it: safetensors and torch report a
full disk as errors of their own, without its number."""


def named_failure(error: Exception, folder: Path) -> RunError | None:
    """The error of ours that `error` is; None where it is none that we know."""
    if isinstance(error, RunError):
        return error
    if isinstance(error, torch.OutOfMemoryError):
        return OutOfMemory(f"the device has no memory left: {error}")
    if isinstance(error, MemoryError) or "can't allocate memory" in str(error):
        return OutOfMemory(f"the host has no memory left: {error}")
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DiskFull(f"no space left in {folder}: {error}")
    space = os.statvfs(folder)
    free = space.f_bavail * space.f_frsize
    if free < LOW_DISK_BYTES and "space" in str(error).lower():
        return DiskFull(f"{folder} has {free:,} bytes left: {error}")
    return None
