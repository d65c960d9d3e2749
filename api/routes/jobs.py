"""Routes that submit, list, show, change, stop and remove jobs."""

import shutil
from dataclasses import replace
from typing import Annotated, Any

from fastapi import Query, Request, Response
from sqlmodel import Session, col

from api.corpus import clean_report, corpus_words, dataset_files, retry_if_removed
from api.deps import Context, IdempotencyKey, InContext, JobId, Reading
from api.description import Responses, problems
from api.errors import MAX_NAME, Problem, shortened
from api.finetuning import FinetuneRequest, complete_finetune, keep_checkpoint
from api.routing import ThreadRouter
from api.schemas import WITHOUT_NUL, JobPage, JobPatch, JobRead, Tag, read_job
from api.submitted_specs import check_sources, complete_specs
from api.tokenizer_files import with_existing_tokenizer
from api.warm_start import keep_initial_weights, warm_start_warnings
from core.corpus.sources import DEFAULT_ROWS, row_options
from core.corpus.word_estimate import words_after_cleaning
from core.errors import CorpusMissing, EvaluationInvalid, RunError, SpecInvalid
from core.evaluation.finetune.estimate import estimate_finetune
from core.evaluation.tasks import require_tasks
from core.spec.corpus import CleanOptions
from core.spec.estimate import Estimate, estimate
from core.spec.finetune import FinetuneSpec
from core.spec.job import TRACK_WORDS, JobSpec
from core.spec.machines import require_possible
from core.spec.plan import milestones, missed_milestones
from jobs import store
from jobs.deletion import delete_with_folder
from jobs.labels import has_tags, update_labels
from jobs.orders import NEWEST_FIRST, Order, order_names, parse_order
from jobs.resources import measured_rates
from jobs.short_tasks import short_task_of_dataset
from jobs.states import Status
from jobs.tables import Job
from jobs.waiting import read_queue, unserved_now
from jobs.workers import live_workers

router = ThreadRouter("jobs")

SUBMITTED: Responses = {
    200: {"model": JobRead, "description": "The job that was submitted with this key before."},
    **problems(409),
}
MAX_CURSOR = 2000
"""Maximum length of a cursor, which may contain the name of a job."""
AssumedWords = Annotated[int | None, Query(ge=1, le=10**12)]
LOW_DISK_SHARE = 0.9
"""Fraction of the free disk space. If a job needs more, its estimate contains a warning."""


@router.post("/jobs", status_code=201, responses=SUBMITTED)
def create(
    spec: JobSpec,
    context: InContext,
    response: Response,
    idempotency_key: IdempotencyKey = None,
) -> JobRead:
    """Submits a job.

    A repetition with the same Idempotency-Key and body returns the first job and 200.
    """
    resolved = _checked(spec, context)
    with context.database.write() as session:
        if resolved.finetune is None:
            check_sources(session, [resolved], context.settings)
        job, is_new = store.create_job(session, resolved, idempotency_key=idempotency_key)
        read = read_one(session, job)
        if resolved.finetune is not None and is_new:
            keep_checkpoint(context.settings, job)
    if is_new:
        keep_initial_weights(resolved, job.id, context.settings)
    response.status_code = 201 if is_new else 200
    response.headers["Location"] = f"/v1/jobs/{job.id}"
    return read


@router.post("/jobs/estimate")
def estimate_job(
    spec: JobSpec, context: InContext, words: AssumedWords = None
) -> dict[str, Any]:  # any JSON value
    """Estimates the resources of a job and stores nothing.

    `seconds` is the time by kind of device. `measured_devices` lists the kinds of device for which
    a live worker has measured the speed. For the kinds that are not in this list, the estimate
    assumes two CPU cores or an A100.
    `milestones` are the checkpoints that the track requires, each with its number of words seen.
    The parameter `words` is the number of words to assume if the dataset does not exist yet.
    """
    with context.database.read() as session:
        rates = measured_rates(live_workers(session))
    if spec.finetune is not None:
        request = _finetune_request(spec, context)
        resolved, warnings = request.spec, _finetune_warnings(spec.finetune)
        needs = estimate_finetune(resolved, request.tasks, rates=rates)
    else:
        resolved = with_existing_tokenizer(spec.resolve(), context.settings.data_dir)
        found, warnings = retry_if_removed(lambda: _words(resolved, context))
        words = words if found is None else found
        with context.database.read() as session:
            warnings += warm_start_warnings(session, resolved, context.settings)
        needs = estimate(resolved, words=words, rates=rates)
    warnings += _warnings(resolved, needs, context) + _machine_warnings(resolved, context)
    return {
        "spec": resolved.model_dump(mode="json"),
        "parameter_count": needs.parameter_count,
        "words": needs.words,
        "tokens": needs.tokens,
        "tokens_per_step": needs.tokens_per_step,
        "steps": needs.steps,
        "words_seen": needs.words_seen,
        "device_memory_bytes": needs.device_memory_bytes,
        "disk_bytes": needs.disk_bytes,
        "seconds": needs.seconds,
        "measured_devices": sorted(rates),
        "milestones": [
            {"name": name, "words": count} for name, count in milestones(resolved.track)
        ],
        "warnings": warnings,
    }


@router.api_route(
    "/jobs/estimate",
    methods=["GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"],
    include_in_schema=False,
)
async def estimate_takes_post(request: Request) -> None:
    """Answers 405, so that no other route takes `estimate` for the id of a job."""
    detail = f"/v1/jobs/estimate does not support {request.method}; supported methods: POST"
    raise Problem(405, "method_not_allowed", detail, headers={"Allow": "POST"})


@router.get("/jobs")
def list_jobs(
    session: Reading,
    status: Annotated[list[Status] | None, Query()] = None,
    limit: Annotated[int, Query(ge=1, le=store.MAX_PAGE)] = store.PAGE,
    after: Annotated[str | None, Query(max_length=MAX_CURSOR)] = None,
    sort: Annotated[str, Query(max_length=80)] = NEWEST_FIRST.text,
    search: Annotated[str | None, Query(max_length=200, pattern=WITHOUT_NUL)] = None,
    tag: Annotated[list[Tag] | None, Query(max_length=20)] = None,
    archived: bool | None = None,
    pinned: bool | None = None,
    study: Annotated[str | None, Query(pattern=r"^[0-9a-f]{32}$")] = None,
) -> JobPage:
    """Lists jobs, newest first. To get the next page, pass `next` of a page as `after`.

    `sort` is a value by which the jobs are sorted, such as `name`, `status`, `progress`, `seed`,
    `validation/loss` or `evaluation/blimp`; a `-` before it sorts in descending order. Jobs without
    the value come last in both directions. The error for an unknown value lists all known values.
    `tag` selects jobs that have all given tags. `archived` and `pinned` select jobs by these
    labels; by default all jobs are listed. `study` is the id of a study and selects its jobs.
    `search` selects jobs whose name contains the text, or whose id begins with it. `counts` is the
    number of jobs by status, without these filters.
    """
    where = has_tags(tag or ())
    if archived is not None:
        where.append(col(Job.archived).is_(archived))
    if pinned is not None:
        where.append(col(Job.pinned).is_(pinned))
    if study is not None:
        where.append(col(Job.study_id) == study)
    jobs, cursor = store.list_jobs(
        session,
        statuses=status or (),
        search=search,
        where=where,
        order=_order(sort),
        limit=limit,
        after=after,
    )
    queue = read_queue(session, jobs)
    data = [read_job(job, queue) for job in jobs]
    return JobPage(data=data, next=cursor, counts=store.count_jobs(session))


@router.get("/jobs/{job_id}")
def show(job_id: JobId, session: Reading) -> JobRead:
    """One job."""
    return read_one(session, store.get_job(session, job_id))


@router.patch("/jobs/{job_id}")
def update(job_id: JobId, labels: JobPatch, context: InContext) -> JobRead:
    """Renames, tags, annotates, archives or pins a job. Omitted fields do not change."""
    given = labels.model_dump(exclude_unset=True)
    with context.database.write() as session:
        return read_one(session, update_labels(session, job_id, **given))


@router.post("/jobs/{job_id}/cancel", status_code=202, responses=problems(409))
def cancel(job_id: JobId, context: InContext) -> JobRead:
    """Cancels a job. A running job first saves a checkpoint; then its status changes."""
    with context.database.write() as session:
        return read_one(session, store.request_cancel(session, job_id))


@router.post("/jobs/{job_id}/pause", status_code=202, responses=problems(409))
def pause(job_id: JobId, context: InContext) -> JobRead:
    """Pauses a job. A running job first saves a checkpoint.

    When its status is `paused`, the job no longer uses a device.
    """
    with context.database.write() as session:
        return read_one(session, store.request_pause(session, job_id))


@router.post("/jobs/{job_id}/resume", status_code=202, responses=problems(409))
def resume(job_id: JobId, context: InContext) -> JobRead:
    """Requeues a paused job, or withdraws the pause request of a running job."""
    with context.database.write() as session:
        return read_one(session, store.resume(session, job_id))


@router.post("/jobs/{job_id}/retry", status_code=202, responses=problems(409))
def retry(job_id: JobId, context: InContext) -> JobRead:
    """Requeues a failed or cancelled job; it continues from its newest checkpoint."""
    with context.database.write() as session:
        return read_one(session, store.retry(session, job_id))


@router.delete("/jobs/{job_id}", status_code=204, responses=problems(409))
def delete(job_id: JobId, context: InContext) -> Response:
    """Removes an ended job and all its files."""
    delete_with_folder(context.database, context.settings, job_id)
    return Response(status_code=204)


def read_one(session: Session, job: Job) -> JobRead:
    """A job in the form of the API, with the reason why it waits."""
    return read_job(job, read_queue(session, [job]))


def _order(text: str) -> Order:
    order = parse_order(text)
    if order is None:
        message = (
            f"There is no value {shortened(text, MAX_NAME)} to sort by. The known values are "
            f"{', '.join(order_names())}; write -NAME for descending order."
        )
        raise Problem(422, "input_invalid", "not accepted: sort", fields=[("sort", message, text)])
    return order


def _checked(spec: JobSpec, context: Context) -> JobSpec:
    """Checks that the text, tasks and checkpoint of a spec exist; returns the resolved spec."""
    if spec.finetune is not None:
        resolved = _finetune_request(spec, context).spec
        require_possible(resolved)
        return resolved
    return complete_specs([spec.resolve()], context.settings.data_dir)[0]


def _finetune_request(spec: JobSpec, context: Context) -> FinetuneRequest:
    with context.database.read() as session:
        return complete_finetune(session, context.settings, spec)


def _finetune_warnings(finetune: FinetuneSpec) -> list[str]:
    if finetune.pooling == "last":
        return []
    return [
        "finetune.pooling is `first`, so a causal model classifies by the first token alone, and "
        "scores stay near the most frequent label"
    ]


def _words(spec: JobSpec, context: Context) -> tuple[int | None, list[str]]:
    """The number of words after cleaning, from the cleaning report or an estimate; and warnings."""
    name = spec.data.dataset
    try:
        files = dataset_files(context.settings.data_dir, name)
    except CorpusMissing as error:
        return None, [error.message]
    rows = row_options(spec.data)
    chosen = [
        replace(file, rows=rows)
        for file in files
        if spec.data.sources is None or file.stem in spec.data.sources
    ]
    with context.database.read() as session:
        report = clean_report(short_task_of_dataset(session, name), files)
    is_default = spec.data.clean == CleanOptions() and rows == DEFAULT_ROWS
    if report is not None and is_default:
        return sum(report.sources[file.stem].words_out for file in chosen), []
    try:
        words = words_after_cleaning(chosen, spec.data.clean)
    except RunError as error:
        shown = error.message.replace(f"{context.settings.data_dir / name}/", "")
        return corpus_words(chosen, report).count, [f"{shown}. {error.hint}"]
    estimate = f"the number of words in {name} is an estimate from parts of the text"
    warnings = [] if words.is_exact else [estimate]
    return words.count, warnings


def _machine_warnings(spec: JobSpec, context: Context) -> list[str]:
    """Warnings if no machine can run the spec, or if workers are alive and none can run it."""
    try:
        require_possible(spec)
    except SpecInvalid as error:
        return [f"the job would be refused: {error.message}"]
    with context.database.read() as session:
        reason = unserved_now(session, spec)
    return [f"the job would wait: {reason}"] if reason is not None else []


def _warnings(spec: JobSpec, needs: Estimate, context: Context) -> list[str]:
    warnings = []
    folder = context.settings.runs_dir
    free = shutil.disk_usage(folder if folder.is_dir() else ".").free
    if needs.disk_bytes > free * LOW_DISK_SHARE:
        warnings.append(f"the job needs {needs.disk_bytes:,} bytes of disk; {free:,} are free")
    budget = TRACK_WORDS.get(spec.track)
    if budget is not None and needs.words is not None and needs.words > budget:
        warnings.append(
            f"{spec.data.dataset} has about {needs.words:,} words after cleaning; track "
            f"{spec.track} allows {budget:,}"
        )
    missed = missed_milestones(spec.track, needs.words_seen)
    if missed:
        warnings.append(
            f"the run sees about {needs.words_seen:,} words after cleaning, so these checkpoints "
            f"of track {spec.track} will not be reached: {', '.join(missed)}"
        )
    try:
        require_tasks(context.settings.data_dir, spec.evaluation.tasks)
    except EvaluationInvalid as error:
        warnings.append(error.message)
    if spec.training.precision == "fp16" and not spec.model.is_safe_in_fp16:
        warnings.append(f"{spec.model.title} is known to overflow in fp16; bf16 is the safe choice")
    return warnings + spec.model.compatibility_warnings()
