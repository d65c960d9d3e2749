"""The dependencies of routes: the context of the app, sessions, and validated names."""

from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Depends, Header, Path, Request
from sqlmodel import Session

from api.bulkhead import Bulkhead
from api.schemas import WITHOUT_NUL
from api.stream import Streams, Watchers
from jobs.database import Database
from jobs.queue import QueueNotifier
from jobs.settings import Settings

READ_THREADS = 2
"""Number of threads for reads. Reads are mostly Python code, so more threads would only compete
with each other and with the event loop for the interpreter lock: with four threads the slowest
hundredth of the reads took several times as long. With one, a long read would delay all others."""
WRITE_THREADS = 4
"""Number of threads for writes. SQLite allows one writer at a time, so writes wait for each other.
Reads do not wait with them, because they have their own threads."""
FOLLOW_THREADS = 2
FILE_THREADS = 4
MAX_WAITING_READS = 512
MAX_WAITING_WRITES = 128


@dataclass(frozen=True)
class Context:
    """The parts that the routes of one app share."""

    settings: Settings
    database: Database
    watchers: Watchers
    notifier: QueueNotifier | None
    """Used only by `/readyz`, to ping the broker. Routes never send notifications."""
    reads: Bulkhead = field(
        default_factory=lambda: Bulkhead(max_threads=READ_THREADS, max_waiting=MAX_WAITING_READS)
    )
    writes: Bulkhead = field(
        default_factory=lambda: Bulkhead(max_threads=WRITE_THREADS, max_waiting=MAX_WAITING_WRITES)
    )
    follows: Bulkhead = field(default_factory=lambda: Bulkhead(max_threads=FOLLOW_THREADS))
    """Threads for the queries of open streams, and of requests that wait for a short task, such as
    generating text."""
    streams: Streams = field(default_factory=Streams)
    files: Bulkhead = field(default_factory=lambda: Bulkhead(max_threads=FILE_THREADS))
    """Threads that check complete uploads, unpack archives and move the files into their folder."""


async def get_context(request: Request) -> Context:
    """The context of the app that serves the request."""
    context: Context = request.app.state.context
    return context


async def lazy_session(context: Annotated[Context, Depends(get_context)]) -> Session:
    """A read-only session, which takes a connection at its first query. `ThreadRoute` closes it."""
    return context.database.lazy_read()


InContext = Annotated[Context, Depends(get_context)]
Reading = Annotated[Session, Depends(lazy_session)]
"""A session for the synchronous functions of a `ThreadRoute`. It is closed before the response is
sent, so that a slow client holds no database connection."""

JobId = Annotated[str, Path(pattern=r"^[0-9a-f]{32}$", description="Id of a job.")]
StudyId = Annotated[str, Path(pattern=r"^[0-9a-f]{32}$", description="Id of a study.")]
EvaluationId = Annotated[str, Path(pattern=r"^[0-9a-f]{32}$", description="Id of an evaluation.")]
CheckpointName = Annotated[
    str,
    Path(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$",
        description="`best`, `last`, or the name of a checkpoint.",
    ),
]
IdempotencyKey = Annotated[str | None, Header(min_length=1, max_length=200, pattern=WITHOUT_NUL)]
