"""Studies: conditions and seeds of one spec as a group of jobs, compared in a table."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, Literal

from fastapi import Query, Response
from sqlmodel import Session

from api.corpus import check_corpus, check_tasks, check_tokenizer
from api.deps import Context, IdempotencyKey, InContext, Reading, StudyId
from api.description import Responses, problems, text_responses
from api.errors import Problem, invalid_input
from api.routing import thread_router
from api.schemas_studies import (
    SeedsBody,
    StudyBody,
    StudyPage,
    StudyRead,
    read_study,
    read_summary,
)
from core.spec.grid import (
    MAX_MEMBERS,
    ConditionInvalid,
    Member,
    base_seed,
    conditions_of,
    expand_seeds,
    make_members,
)
from core.spec.machines import require_possible
from jobs import store, studies
from jobs.deletion import delete_study_with_folders
from jobs.study_table import as_csv
from jobs.tables import Study

router = thread_router("studies")

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
    if a condition is refused. The same Idempotency-Key and body again return the first study, with
    200.
    """
    base = body.base()
    seeds = expand_seeds(body.seeds, first=base_seed(base))
    conditions = list(enumerate(conditions_of(body.grid)))
    with _explained():
        members = make_members(body.title(), base, conditions, seeds)
    _check(members, context)
    with context.database.write() as session:
        _check_tokenizers(session, members)
        study, is_new = studies.create_study(
            session,
            name=body.title(),
            base=base,
            grid=body.grid,
            seeds=seeds,
            members=members,
            idempotency_key=idempotency_key,
        )
        read = _read(session, study)
    response.status_code = 201 if is_new else 200
    response.headers["Location"] = f"/v1/studies/{study.id}"
    return read


@router.get("/studies")
def list_studies(
    session: Reading,
    limit: Annotated[int, Query(ge=1, le=store.MAX_PAGE)] = store.PAGE,
    after: Annotated[str | None, Query(max_length=200)] = None,
) -> StudyPage:
    """Studies, newest first. `next` of a page is `after` of the following one."""
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

    Only members that have succeeded count. `verdict` compares the mean with that of the baseline:
    `better` or `worse` beyond twice the pooled standard deviation, else `within_noise`. `format` is
    json, or csv with a line for each member.
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
    """Requeues members that are paused, failed or cancelled, from their newest checkpoints."""
    with context.database.write() as session:
        studies.resume_study(session, study_id)
        return _read(session, studies.get_study(session, study_id))


@router.post("/studies/{study_id}/seeds", status_code=202, responses=problems(409))
def add_seeds(study_id: StudyId, body: SeedsBody, context: InContext) -> StudyRead:
    """Adds seeds to each condition; the new members have the specs of the existing ones.

    A number is the number of seeds in all, a list the seeds to add. The same request again adds
    nothing, so it can be repeated.
    """
    with context.database.write() as session:
        study = studies.get_study(session, study_id, lock=True)
        seeds = _all_seeds(study, body.seeds)
        _refuse_too_many(study, seeds)
        with _explained():
            members = studies.further_members(session, study, seeds)
            if members is None:  # all members of a condition were deleted
                conditions = list(enumerate(conditions_of(study.grid)))
                members = make_members(study.name, study.base, conditions, seeds)
        _check(members, context)
        _check_tokenizers(session, members)
        studies.add_seeds(session, study_id, seeds, members)
        return _read(session, studies.get_study(session, study_id))


@router.delete("/studies/{study_id}", status_code=204, responses=problems(409))
def delete(study_id: StudyId, context: InContext) -> Response:
    """Removes a study whose members have ended, with all of them and their checkpoints."""
    delete_study_with_folders(context.database, context.settings, study_id)
    return Response(status_code=204)


def _read(session: Session, study: Study) -> StudyRead:
    return read_study(study, studies.read_members(session, study.id))


def _csv(session: Session, study: Study) -> Response:
    text = as_csv(studies.read_members(session, study.id), list(study.grid))
    name = f'attachment; filename="study-{study.id[:8]}.csv"'
    return Response(text, media_type="text/csv", headers={"Content-Disposition": name})


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


def _check(members: Sequence[Member], context: Context) -> None:
    """Refuses conditions that no machine can train, or whose files do not exist."""
    checked = set()
    for member in members:
        spec = member.spec
        if member.condition_number in checked:  # seeds make no difference
            continue
        checked.add(member.condition_number)
        require_possible(spec)
        check_corpus(spec, context.settings.data_dir)
        check_tasks(spec, context.settings.data_dir)


def _check_tokenizers(session: Session, members: Sequence[Member]) -> None:
    specs = {member.spec.tokenizer.from_job: member.spec for member in members}
    for spec in specs.values():
        check_tokenizer(session, spec)
