"""Errors about a full disk become `DiskFull`, and errors about memory become `OutOfMemory`."""

import errno
import resource
import subprocess
import sys

import pytest

from core.errors import DiskFull, NonFiniteLoss, OutOfMemory
from core.process.failures import named_failure


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), DiskFull),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), DiskFull),
        (Exception("I/O error: No space left on device (os error 28)"), DiskFull),
        (MemoryError(), OutOfMemory),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), OutOfMemory),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), OutOfMemory),
        (OSError(errno.EACCES, "Permission denied"), None),
        (RuntimeError("the outer space of an index"), None),
    ],
)
def test_errors_have_names(error, kind, tmp_path):
    failure = named_failure(error, tmp_path)
    assert type(failure) is (kind or type(None))
    if failure is not None:
        assert failure.hint


def test_a_run_error_keeps_its_code(tmp_path):
    error = NonFiniteLoss("nan")
    assert named_failure(error, tmp_path) is error


def test_the_out_of_memory_errors_of_torch_are_recognized(tmp_path):
    """Runs in a separate process, because its memory limit cannot be removed."""
    program = (
        "import resource, torch\n"
        "from pathlib import Path\n"
        "from core.training.execution.failures import named_failure\n"
        "resource.setrlimit(resource.RLIMIT_AS, (8 << 30, resource.RLIM_INFINITY))\n"
        "try:\n"
        "    torch.zeros(16 << 30)\n"
        "except Exception as error:\n"
        "    print(named_failure(error, Path('.')).code)\n"
        "try:\n"
        "    raise torch.OutOfMemoryError('CUDA out of memory')\n"
        "except Exception as error:\n"
        "    print(named_failure(error, Path('.')).code)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert done.stdout.decode().split() == ["out_of_memory"] * 2
    assert resource.getrlimit(resource.RLIMIT_AS)[0] == resource.RLIM_INFINITY
