"""What an exception of the system or of a library means to a user. No torch."""

import errno
import re
from pathlib import Path

from core.errors import DiskFull, OutOfMemory, RunError

FULL = (errno.ENOSPC, errno.EDQUOT)
FULL_IN_WORDS = re.compile(
    r"os error (28|122)\b|no space left on device|disk quota exceeded", re.IGNORECASE
)
"""How libraries written in Rust and C++ report a full disk, in errors of their own."""
NO_MEMORY_IN_WORDS = re.compile(
    r"can't allocate memory|cannot allocate memory|std::bad_alloc|failed to allocate",
    re.IGNORECASE,
)


def named_failure(error: BaseException, folder: Path) -> RunError | None:
    """The error of ours that `error` is; None where it is none that we know.

    Judged by what the error says and not by the space that is free now: by then what was half
    written has been removed, and there is room again.
    """
    if isinstance(error, RunError):
        return error
    text = str(error)
    if isinstance(error, MemoryError) or NO_MEMORY_IN_WORDS.search(text):
        return OutOfMemory(f"the host has no memory left: {text or type(error).__name__}")
    if isinstance(error, OSError) and error.errno in FULL:
        return DiskFull(f"no space left in {folder}: {text}")
    if FULL_IN_WORDS.search(text):
        return DiskFull(f"no space left in {folder}: {text}")
    return None
