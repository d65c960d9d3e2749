"""Routes that train a tokenizer, list the tokenizers of jobs, and show how they split a text."""

from typing import Annotated

from fastapi import Query, Response
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError

from api.deps import IdempotencyKey, InContext, JobId, Reading
from api.description import problems
from api.errors import Problem
from api.routes.jobs import SUBMITTED, read_one
from api.routing import ThreadRouter
from api.schemas import JobRead
from api.schemas_evaluations import (
    EncodeBody,
    EncodeRead,
    TokenizerBody,
    TokenizerPage,
    TokenizerRead,
)
from api.short import answer_of, ask
from api.submitted_specs import check_sources, complete_specs
from core.errors import TokenizerMissing
from core.spec.job import JobSpec
from jobs import store
from jobs.history import finished_stage

router = ThreadRouter("tokenizers")


@router.post("/tokenizers", status_code=201, responses=SUBMITTED)
def train(
    body: TokenizerBody,
    context: InContext,
    response: Response,
    idempotency_key: IdempotencyKey = None,
) -> JobRead:
    """Trains only a tokenizer, as a job. Other jobs use it with `tokenizer: {"from_job": ID}`."""
    given = body.model_dump(mode="json", exclude_unset=True)
    given["name"] = body.name or f"tokenizer on {body.data.dataset}"
    try:
        spec = JobSpec.model_validate({"task": "tokenizer", **given}).resolve()
    except ValidationError as error:  # such as a line break in the name
        raise RequestValidationError(error.errors()) from error
    [spec] = complete_specs([spec], context.settings.data_dir)
    with context.database.write() as session:
        check_sources(session, [spec], context.settings)
        job, is_new = store.create_job(session, spec, idempotency_key=idempotency_key)
        read = read_one(session, job)
    response.status_code = 201 if is_new else 200
    response.headers["Location"] = f"/v1/jobs/{job.id}"
    return read


@router.get("/tokenizers")
def list_tokenizers(
    session: Reading,
    limit: Annotated[int, Query(ge=1, le=store.MAX_PAGE)] = store.PAGE,
    after: Annotated[str | None, Query(max_length=200)] = None,
) -> TokenizerPage:
    """The tokenizers of jobs, newest first, with statistics on the validation text of each job.

    A page covers `limit` jobs. Jobs without a tokenizer are omitted, so a page may be shorter.
    """
    jobs, cursor = store.list_jobs(session, limit=limit, after=after)
    data = []
    for job in jobs:
        stage = finished_stage(session, job.id, "tokenizer")
        if stage is not None:
            data.append(
                TokenizerRead(
                    job=job.id,
                    name=job.name,
                    dataset=job.spec["data"]["dataset"],
                    vocab_size=stage.counts["vocab_size"],
                    validation=stage.counts.get("validation"),
                    created_at=job.created_at,
                )
            )
    return TokenizerPage(data=data, next=cursor)


@router.post("/tokenizers/{job_id}/encode", responses=problems(409, 410, 500, 504, 507))
async def encode(job_id: JobId, body: EncodeBody, context: InContext) -> EncodeRead:
    """Splits a text with the tokenizer of a job.

    Each token has its id, its vocabulary entry and its character offsets.
    """

    def create() -> str:
        with context.database.write() as session:
            store.require_job(session, job_id)
            if finished_stage(session, job_id, "tokenizer") is None:
                detail = f"job {job_id} has no tokenizer yet"
                raise Problem(409, TokenizerMissing.code, detail)
            request = {"text": body.text}
            return ask(session, kind="encode", job_id=job_id, request=request).id

    with context.watchers.awaiting_answer():
        answer = await answer_of(context, await context.writes.run(create))
    return EncodeRead(**answer)
