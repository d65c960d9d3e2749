"""Routes of the playground: text streamed while the model generates it, and surprisal by token."""

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Depends
from fastapi.sse import EventSourceResponse

from api.deps import CheckpointName, Context, InContext, JobId
from api.errors import Problem
from api.routing import ThreadRouter
from api.schemas import ErrorRead, GenerateBody
from api.schemas_playground import SurprisalBody, SurprisalRead, WrittenRead
from api.short import answer_of, answers_of, ask
from jobs.history import find_checkpoint
from jobs.short_tasks import Kind
from jobs.tables import Json

router = ThreadRouter("checkpoints")

Task = tuple[str, str]
"""Id of a short task, and the name of its checkpoint."""


async def generation_to_follow(
    job_id: JobId, name: CheckpointName, body: GenerateBody, context: InContext
) -> Task:
    """Checks the request before the stream begins, while an error status can still be sent."""
    request = {**body.model_dump(), "stream": True}
    with context.watchers.awaiting_answer():
        return await _create(context, "generate", job_id, name, request)


@router.post(
    "/jobs/{job_id}/checkpoints/{name}/generate/stream", response_class=EventSourceResponse
)
async def generate_stream(
    task: Annotated[Task, Depends(generation_to_follow)], context: InContext
) -> AsyncIterator[WrittenRead]:
    """Continues a text like `generate`, and streams it as server-sent events.

    Each event contains the prompt and the whole continuation so far, and replaces the previous
    event. In the last event `done` is true. If the generation fails after the start, the last event
    has an `error`.
    """
    task_id, checkpoint = task
    text = ""
    try:
        with context.watchers.awaiting_answer():
            async for answer, done in answers_of(context, task_id):
                text = answer["text"]
                yield WrittenRead(text=text, done=done, checkpoint=checkpoint)
    except Problem as problem:
        error = ErrorRead(code=problem.code, message=problem.detail, hint="")
        yield WrittenRead(text=text, done=True, checkpoint=checkpoint, error=error)


@router.post("/jobs/{job_id}/checkpoints/{name}/surprisal")
async def surprisal(
    job_id: JobId, name: CheckpointName, body: SurprisalBody, context: InContext
) -> SurprisalRead:
    """The surprisal in bits of each token of the texts, and the tokens that the model expected.

    Texts are scored as in the evaluation of minimal pairs: of two sentences, the model prefers the
    sentence with the lower sum of surprisals. The first token of a text has no context and
    therefore no surprisal.
    """
    with context.watchers.awaiting_answer():
        task_id, checkpoint = await _create(context, "surprisal", job_id, name, body.model_dump())
        answer = await answer_of(context, task_id)
    return SurprisalRead(checkpoint=checkpoint, texts=answer["texts"])


async def _create(context: Context, kind: Kind, job_id: str, name: str, request: Json) -> Task:
    def create() -> Task:
        with context.database.write() as session:
            checkpoint = find_checkpoint(session, job_id, name)
            full = {"checkpoint": checkpoint.name, **request}
            return ask(session, kind=kind, job_id=job_id, request=full).id, checkpoint.name

    return await context.writes.run(create)
