"""The babylm command, and the Python client: `from babylm import Client`."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from babylm.client import (
        AsyncCheckpoint,
        AsyncClient,
        AsyncJob,
        AsyncStudy,
        BabylmError,
        Checkpoint,
        Client,
        Job,
        JobFailed,
        ServiceError,
        ServiceUnreachable,
        Study,
    )

__all__ = [
    "AsyncCheckpoint",
    "AsyncClient",
    "AsyncJob",
    "AsyncStudy",
    "BabylmError",
    "Checkpoint",
    "Client",
    "Job",
    "JobFailed",
    "ServiceError",
    "ServiceUnreachable",
    "Study",
]


def __getattr__(name: str) -> object:
    """Imports a public name from `babylm.client` when it is first used."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from babylm import client

    return getattr(client, name)
