"""What routes are handed: the context of the app, sessions, and names that are safe."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Path, Request
from sqlmodel import Session

from api.stream import Watchers
from jobs.database import Database
from jobs.queue import QueueNotifier
from jobs.settings import Settings


@dataclass(frozen=True)
class Context:
    """What one app works with."""

    settings: Settings
    database: Database
    watchers: Watchers
    notifier: QueueNotifier | None
    """Only for asking whether the broker answers; routes never publish."""


def get_context(request: Request) -> Context:
    """The context of the app that answers."""
    context: Context = request.app.state.context
    return context


def read_session(context: Annotated[Context, Depends(get_context)]) -> Iterator[Session]:
    """A read-only transaction for one request."""
    with context.database.read() as session:
        yield session


InContext = Annotated[Context, Depends(get_context)]
Reading = Annotated[Session, Depends(read_session, scope="function")]
"""Closed before the response is sent: a slow reader holds no connection."""

JobId = Annotated[str, Path(pattern=r"^[0-9a-f]{32}$", description="Id of a job.")]
EvaluationId = Annotated[str, Path(pattern=r"^[0-9a-f]{32}$", description="Id of an evaluation.")]
CheckpointName = Annotated[
    str, Path(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$", description="Name, or best or last.")
]
