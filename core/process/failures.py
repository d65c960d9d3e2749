"""Maps exceptions of the operating system and of libraries to the errors of a run.

The module does not import torch.
"""

import errno
import re
from pathlib import Path

from core.errors import DiskFull, OutOfMemory, RunError

FULL = (errno.ENOSPC, errno.EDQUOT)
FULL_IN_WORDS = re.compile(
    r"os error (28|122)\b|no space left on device|disk quota exceeded", re.IGNORECASE
)
"""Messages with which Rust and C++ libraries report a full disk in their own exceptions."""
NO_MEMORY_IN_WORDS = re.compile(
    r"can't allocate memory|cannot allocate memory|std::bad_alloc|failed to allocate",
    re.IGNORECASE,
)


def named_failure(error: BaseException, folder: Path) -> RunError | None:
    """The `RunError` that `error` corresponds to; None if there is no such error.

    The function looks at the error and not at the free disk space, because incomplete files have
    already been removed and the disk may have free space again.
    """
    if isinstance(error, RunError):
        return error
    text = str(error)
    if isinstance(error, MemoryError) or NO_MEMORY_IN_WORDS.search(text):
        return OutOfMemory(f"the host is out of memory: {text or type(error).__name__}")
    if isinstance(error, OSError) and error.errno in FULL:
        return DiskFull(f"no space left in {folder}: {text}")
    if FULL_IN_WORDS.search(text):
        return DiskFull(f"no space left in {folder}: {text}")
    return None
