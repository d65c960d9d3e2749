"""Routes for studies, which run a job for each condition and seed, and compare the conditions.

A condition is one combination of the values in a study's grid.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Annotated, Literal

from fastapi import Query, Response
from sqlmodel import Session

from api.deps import Context, IdempotencyKey, InContext, Reading, StudyId
from api.description import Responses, problems, text_responses
from api.errors import Problem, invalid_input
from api.routing import ThreadRouter
from api.schemas_studies import (
    SeedsBody,
    StudyBody,
    StudyPage,
    StudyRead,
    read_study,
    read_summary,
)
from api.submitted_specs import check_sources, complete_specs
from api.warm_start import keep_initial_weights
from core.spec.grid import (
    MAX_MEMBERS,
    ConditionInvalid,
    Member,
    base_seed,
    conditions_of,
    expand_seeds,
    make_members,
)
from core.spec.job import JobSpec, TokenizerSpec
from jobs import store, studies
from jobs.deletion import delete_study_with_folders
from jobs.errors import StudyRefused
from jobs.study_table import as_csv
from jobs.tables import Study

router = ThreadRouter("studies")

SUBMITTED: Responses = {
    200: {"model": StudyRead, "description": "The study that was created with this key before."},
    **problems(409),
}
CSV = text_responses("text/csv")


@router.post("/studies", status_code=201, responses=SUBMITTED)
def create(
    body: StudyBody,
    context: InContext,
    response: Response,
    idempotency_key: IdempotencyKey = None,
) -> StudyRead:
    """Creates a study: a job for each condition of the grid and each seed.

    The fields of the base spec are those of `POST /v1/jobs`. All jobs are created together, or none
    if a condition is refused. A repetition with the same Idempotency-Key and body returns the first
    study and 200.
    """
    base = body.base()
    seeds = expand_seeds(body.seeds, first=base_seed(base))
    conditions = list(enumerate(conditions_of(body.grid)))
    with _explained():
        members = make_members(body.title(), base, conditions, seeds)
    members = _with_tokenizers(members, _check(members, context))
    with context.database.write() as session:
        check_sources(session, [member.spec for member in members], context.settings)
        study, created = studies.create_study(
            session,
            name=body.title(),
            base=base,
            grid=body.grid,
            seeds=seeds,
            members=members,
            idempotency_key=idempotency_key,
        )
        read = _read(session, study)
    _keep_initial_weights(created, context)
    response.status_code = 201 if created else 200
    response.headers["Location"] = f"/v1/studies/{study.id}"
    return read


@router.get("/studies")
def list_studies(
    session: Reading,
    limit: Annotated[int, Query(ge=1, le=store.MAX_PAGE)] = store.PAGE,
    after: Annotated[str | None, Query(max_length=200)] = None,
) -> StudyPage:
    """Studies, newest first. To get the next page, pass `next` of a page as `after`."""
    found, cursor = studies.list_studies(session, limit=limit, after=after)
    counts = studies.count_members(session, [study.id for study in found])
    return StudyPage(
        data=[read_summary(study, counts.get(study.id, {})) for study in found], next=cursor
    )


@router.get("/studies/{study_id}", response_model=StudyRead, responses=CSV)
def show(
    study_id: StudyId,
    session: Reading,
    form: Annotated[Literal["json", "csv"], Query(alias="format")] = "json",
) -> StudyRead | Response:
    """A study: its members, and a table of means and standard deviations by condition.

    Only members that have succeeded count. The baseline is condition 0, which has the first value
    of each field of the grid. `verdict` compares the mean of a condition with the mean of the
    baseline. It is `better` or `worse` if the two means differ by more than twice the pooled
    standard deviation, and otherwise `within_noise`. It is null if the baseline has no value,
    `too_few_seeds` if the baseline or the condition has only one value, and `baseline` for the
    baseline itself. `format` is json, or csv with a line for each member.
    """
    study = studies.get_study(session, study_id)
    if form == "csv":
        return _csv(session, study)
    return _read(session, study)


@router.get("/studies/{study_id}/csv", response_class=Response, responses=CSV)
def show_csv(study_id: StudyId, session: Reading) -> Response:
    """The members as CSV: condition, seed, status, final values and job, with full precision."""
    return _csv(session, studies.get_study(session, study_id))


@router.post("/studies/{study_id}/cancel", status_code=202, responses=problems(409))
def cancel(study_id: StudyId, context: InContext) -> StudyRead:
    """Cancels all members that have not ended."""
    with context.database.write() as session:
        studies.cancel_study(session, study_id)
        return _read(session, studies.get_study(session, study_id))


@router.post("/studies/{study_id}/resume", status_code=202, responses=problems(409))
def resume(study_id: StudyId, context: InContext) -> StudyRead:
    """Requeues paused, failed and cancelled members; each continues from its newest checkpoint."""
    with context.database.write() as session:
        studies.resume_study(session, study_id)
        return _read(session, studies.get_study(session, study_id))


@router.post("/studies/{study_id}/seeds", status_code=202, responses=problems(409))
def add_seeds(study_id: StudyId, body: SeedsBody, context: InContext) -> StudyRead:
    """Adds seeds to each condition. The new members differ from the existing ones only in the seed.

    If `seeds` is a number, it is the total number of seeds after the request. If `seeds` is a list,
    the request adds these seeds. A repeated request adds nothing.
    """
    with context.database.read() as session:
        _, members = _further(session, studies.get_study(session, study_id), body.seeds)
    tokenizers = _check(members, context)
    with context.database.write() as session:
        study = studies.get_study(session, study_id, lock=True)
        # Read again, because another request may have added seeds. The conditions cannot change.
        seeds, members = _further(session, study, body.seeds)
        members = _with_tokenizers(members, tokenizers)
        check_sources(session, [member.spec for member in members], context.settings)
        created = studies.add_seeds(session, study_id, seeds, members)
        read = _read(session, studies.get_study(session, study_id))
    _keep_initial_weights(created, context)
    return read


@router.delete("/studies/{study_id}", status_code=204, responses=problems(409))
def delete(study_id: StudyId, context: InContext) -> Response:
    """Removes a study and all its jobs with their files; 409 if one of them has not ended."""
    delete_study_with_folders(context.database, context.settings, study_id)
    return Response(status_code=204)


def _read(session: Session, study: Study) -> StudyRead:
    return read_study(study, studies.read_members(session, study.id))


def _csv(session: Session, study: Study) -> Response:
    text = as_csv(studies.read_members(session, study.id), list(study.grid))
    name = f'attachment; filename="study-{study.id[:8]}.csv"'
    return Response(text, media_type="text/csv", headers={"Content-Disposition": name})


def _further(
    session: Session, study: Study, asked: int | list[int]
) -> tuple[list[int], list[Member]]:
    """All seeds of the study after the request, and the members for all these seeds."""
    seeds = _all_seeds(study, asked)
    _refuse_too_many(study, seeds)
    with _explained():
        members = studies.further_members(session, study, seeds)
        if members is None:  # all members of a condition were deleted
            conditions = list(enumerate(conditions_of(study.grid)))
            members = make_members(study.name, study.base, conditions, seeds)
    return seeds, members


def _all_seeds(study: Study, seeds: int | list[int]) -> list[int]:
    """The seeds of the study after the request."""
    if isinstance(seeds, list):
        return list(dict.fromkeys([*study.seeds, *seeds]))
    missing = max(0, seeds - len(study.seeds))
    return [*study.seeds, *expand_seeds(missing, first=max(study.seeds) + 1)]


def _refuse_too_many(study: Study, seeds: Sequence[int]) -> None:
    count = len(conditions_of(study.grid)) * len(seeds)
    if count > MAX_MEMBERS:
        message = f"the study would have {count} jobs, and a study has at most {MAX_MEMBERS}"
        raise Problem(422, "input_invalid", message, fields=[("seeds", message, list(seeds))])


@contextmanager
def _explained() -> Iterator[None]:
    """Turns an invalid condition into a problem that names the fields and the condition."""
    try:
        yield
    except ConditionInvalid as error:
        problem = invalid_input(error.error, is_spec=True)
        fields = [
            (field, f"{message} (condition: {error.condition})", given)
            for field, message, given in problem.fields
        ]
        detail = f"{problem.detail} (condition: {error.condition})"
        raise Problem(422, problem.code, detail, fields=fields) from error


def _check(members: Sequence[Member], context: Context) -> dict[int, TokenizerSpec]:
    """Refuses invalid conditions; returns the complete tokenizer settings of each condition."""
    specs: dict[int, JobSpec] = {}
    for member in members:  # one member of each condition is enough: the seed is not checked
        specs.setdefault(member.condition_number, member.spec)
    if any(spec.finetune is not None for spec in specs.values()):
        message = (
            "a study does not accept the task finetune; submit each fine-tuning job with "
            "POST /v1/jobs"
        )
        fields: list[tuple[str, str, object]] = [("task", message, "finetune")]
        raise Problem(422, StudyRefused.code, f"task: {message}", fields=fields)
    completed = complete_specs(list(specs.values()), context.settings.data_dir)
    return {number: spec.tokenizer for number, spec in zip(specs, completed, strict=True)}


def _with_tokenizers(
    members: Sequence[Member], tokenizers: Mapping[int, TokenizerSpec]
) -> list[Member]:
    """The members with the tokenizers of their conditions."""
    return [
        replace(
            member,
            spec=member.spec.model_copy(update={"tokenizer": tokenizers[member.condition_number]}),
        )
        for member in members
    ]


def _keep_initial_weights(created: Mapping[str, JobSpec], context: Context) -> None:
    for job_id, spec in created.items():
        keep_initial_weights(spec, job_id, context.settings)
