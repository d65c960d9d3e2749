"""Maps exceptions, including those of torch, to the errors of a run."""

from pathlib import Path

import torch

from core.errors import OutOfMemory, RunError
from core.process import failures


def named_failure(error: Exception, folder: Path) -> RunError | None:
    """The `RunError` for `error`; None if `error` is of an unknown kind."""
    if isinstance(error, torch.OutOfMemoryError):
        return OutOfMemory(f"the device is out of memory: {error}")
    return failures.named_failure(error, folder)
