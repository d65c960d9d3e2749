"""Which exceptions of torch mean what to a user."""

from pathlib import Path

import torch

from core.errors import OutOfMemory, RunError
from core.process import failures


def named_failure(error: Exception, folder: Path) -> RunError | None:
    """The error of ours that `error` is; None where it is none that we know."""
    if isinstance(error, torch.OutOfMemoryError):
        return OutOfMemory(f"the device has no memory left: {error}")
    return failures.named_failure(error, folder)
