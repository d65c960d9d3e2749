"""The Python client of the service: `from babylm import Client`.

This package imports no code of the service. Its modules are loaded when they are first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from babylm.client._async.checkpoint import AsyncCheckpoint, AsyncCheckpoints
    from babylm.client._async.job import AsyncJob
    from babylm.client._async.service import AsyncClient
    from babylm.client._async.study import AsyncStudy
    from babylm.client._sync.checkpoint import Checkpoint, Checkpoints
    from babylm.client._sync.job import Job
    from babylm.client._sync.service import Client
    from babylm.client._sync.study import Study
    from babylm.client.errors import (
        BabylmError,
        InvalidUsage,
        JobFailed,
        ServiceError,
        ServiceUnreachable,
        TransferFailed,
    )

__all__ = [
    "AsyncCheckpoint",
    "AsyncCheckpoints",
    "AsyncClient",
    "AsyncJob",
    "AsyncStudy",
    "BabylmError",
    "Checkpoint",
    "Checkpoints",
    "Client",
    "InvalidUsage",
    "Job",
    "JobFailed",
    "ServiceError",
    "ServiceUnreachable",
    "Study",
    "TransferFailed",
]

_MODULES = {
    "AsyncCheckpoint": "_async.checkpoint",
    "AsyncCheckpoints": "_async.checkpoint",
    "AsyncClient": "_async.service",
    "AsyncJob": "_async.job",
    "AsyncStudy": "_async.study",
    "Checkpoint": "_sync.checkpoint",
    "Checkpoints": "_sync.checkpoint",
    "Client": "_sync.service",
    "Job": "_sync.job",
    "Study": "_sync.study",
}


def __getattr__(name: str) -> object:
    """Imports a public name from its module when it is first used."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = import_module(f"babylm.client.{_MODULES.get(name, 'errors')}")
    return getattr(module, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
