"""Sends errors as problem details (RFC 9457). STATUSES gives the HTTP status by error class."""

import json
import logging
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from sqlalchemy.exc import SQLAlchemyError
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Match, Mount

from core import errors as core_errors
from core.spec.faults import explain
from jobs import errors as jobs_errors

log = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
GIVEN_CHARACTERS = 200
MAX_ERRORS = 20
"""Maximum number of faults that a response explains. One explanation takes a third of a
millisecond."""
MAX_NAME = 200
MAX_DETAIL = 4000
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")

STATUSES: dict[type[Exception], int] = {
    jobs_errors.JobNotFound: 404,
    jobs_errors.CheckpointNotFound: 404,
    jobs_errors.ShortTaskNotFound: 404,
    jobs_errors.StudyNotFound: 404,
    jobs_errors.StudyRefused: 409,
    jobs_errors.WebhookNotFound: 404,
    jobs_errors.DeliveryNotFound: 404,
    jobs_errors.WebhooksFull: 409,
    jobs_errors.InvalidTransition: 409,
    jobs_errors.JobInUse: 409,
    jobs_errors.IdempotencyConflict: 409,
    jobs_errors.Fenced: 409,
    jobs_errors.CursorInvalid: 422,
    jobs_errors.BrokerUnavailable: 503,
    jobs_errors.SchemaTooNew: 503,
    jobs_errors.SchemaTooOld: 503,
    jobs_errors.PlacementTaken: 409,
    jobs_errors.SlurmError: 503,
    jobs_errors.SettingsInvalid: 503,
    jobs_errors.CopyRefused: 409,
    core_errors.CorpusMissing: 404,
    core_errors.CorpusEmpty: 422,
    core_errors.CleanerMissing: 422,
    core_errors.CorpusEncoding: 422,
    core_errors.CorpusNotText: 422,
    core_errors.CorpusDamaged: 422,
    core_errors.CorpusColumnMissing: 422,
    core_errors.CorpusTooLarge: 422,
    core_errors.CorpusReaderMissing: 422,
    core_errors.CorpusTooSmall: 422,
    core_errors.CorpusChanged: 409,
    core_errors.WordBudgetExceeded: 422,
    core_errors.SpecInvalid: 422,
    core_errors.EvaluationInvalid: 422,
    core_errors.SubmissionInvalid: 409,
    core_errors.PrecisionUnsupported: 422,
    core_errors.DevicesMissing: 422,
    core_errors.CheckpointMissing: 410,
    core_errors.TokenizerInvalid: 422,
    core_errors.TokenizerMissing: 409,
    core_errors.InitialWeightsInvalid: 422,
    core_errors.TokenOutOfVocabulary: 500,
    core_errors.TokenFileDamaged: 500,
    core_errors.NonFiniteLoss: 500,
    core_errors.ExportInvalid: 500,
    core_errors.OutOfMemory: 503,
    core_errors.DiskFull: 507,
}
"""HTTP status by class of error, including errors that a child process reports by code. A test
fails if a class is missing."""
STATUS_BY_CODE: dict[str, int] = {
    getattr(error, "code", ""): status for error, status in STATUSES.items()
} | {"time_limit": 504}


SPEC_PATHS = ("/v1/jobs", "/v1/jobs/estimate")
"""Paths of the calls that take a job spec as their body."""


class Problem(HTTPException):
    """An error of the HTTP layer; STATUSES maps the errors of `core` and `jobs`.

    It is an HTTPException, because FastAPI answers 400 to any other exception that is raised while
    a body is read.

    Attributes:
        status: HTTP status.
        code: Stable machine-readable name.
        headers: Headers of the response, such as Retry-After.
        fields: Field, message and given value of at most MAX_ERRORS invalid parts of the request.
    """

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        headers: dict[str, str] | None = None,
        fields: Sequence[tuple[str, str, object]] = (),
    ) -> None:
        super().__init__(status, detail, headers)
        self.status = status
        self.code = code
        self.fields = fields[:MAX_ERRORS]


def problem_response(problem: Problem) -> Response:
    """The response of a problem; its size is bounded, and any text can be encoded."""
    body: dict[str, Any] = {  # any JSON value
        "type": "about:blank",
        "title": HTTPStatus(problem.status).phrase,
        "status": problem.status,
        "code": problem.code,
        "detail": shortened(problem.detail, MAX_DETAIL),
    }
    if problem.fields:
        body["errors"] = [
            {
                "field": shortened(field, MAX_NAME),
                "message": shortened(message, MAX_DETAIL),
                "given": shown(given),
            }
            for field, message, given in problem.fields
        ]
    # ASCII: a lone surrogate in a message cannot be written as UTF-8.
    content = json.dumps(body, ensure_ascii=True).encode("ascii")
    return Response(content, problem.status, problem.headers, media_type=MEDIA_TYPE)


def shown(given: object) -> str:
    """The shortened JSON text of a given value; encodes only the part that is shown."""
    text = ""
    try:
        for piece in json.JSONEncoder(ensure_ascii=True).iterencode(_shortened_value(given)):
            text += piece
            if len(text) > GIVEN_CHARACTERS:
                break
    except (TypeError, ValueError, RecursionError):
        text = ascii(given)
    return shortened(text, GIVEN_CHARACTERS)


def shortened(text: str, length: int) -> str:
    """The text, or its beginning and an ellipsis if it is longer than `length`."""
    return text if len(text) <= length else text[: length - 3] + "..."


def listed(names: Sequence[str], *, total: int) -> str:
    """Joins names for a sentence. `total` is the number of all names, including those not given."""
    more = total - len(names)
    text = ", ".join(dict.fromkeys(shortened(name, MAX_NAME) for name in names))
    return f"{text} and {more:,} more" if more else text


def invalid_input(error: RequestValidationError | ValidationError, *, is_spec: bool) -> Problem:
    """The problem of a request that does not fit its schema.

    `is_spec` says whether the body is a job spec. At most MAX_ERRORS faults are explained, because
    a body can have thousands of faults.
    """
    faults = error.errors()
    if faults and faults[0]["loc"] == ("body",) and isinstance(faults[0].get("input"), bytes):
        given = faults[0]["input"].decode(errors="replace")  # FastAPI did not parse the body
        message = "the body must be JSON; send the header Content-Type: application/json"
        return Problem(422, "input_invalid", message, fields=[("", message, given)])
    fields = [
        (*explain(fault, is_spec=is_spec), fault.get("input")) for fault in faults[:MAX_ERRORS]
    ]
    names = listed([name or "the body" for name, _, _ in fields], total=len(faults))
    return Problem(422, "input_invalid", f"not accepted: {names}", fields=fields)


def _shortened_value(given: object) -> object:
    """Shortens a long text, because the encoder encodes it as a whole; keeps any other value."""
    return given[:GIVEN_CHARACTERS] if isinstance(given, str | bytes) else given


def _known_methods(request: Request) -> list[str]:
    """All methods that the path accepts; Starlette reports only the methods of the first route."""
    routes = [route for route in request.app.routes if not isinstance(route, Mount)]
    known = [
        method
        for method in METHODS
        if any(
            route.matches({**request.scope, "method": method})[0] is Match.FULL for route in routes
        )
    ]
    return known or ["GET", "HEAD"]  # only a mount of static files has this path


def register_handlers(app: FastAPI) -> None:
    """Makes the app answer every error with a problem."""

    async def of_problem(request: Request, error: Problem) -> Response:
        del request
        return problem_response(error)

    async def of_input(request: Request, error: RequestValidationError) -> Response:
        is_spec = request.url.path in SPEC_PATHS
        return problem_response(invalid_input(error, is_spec=is_spec))

    async def of_http(request: Request, error: HTTPException) -> Response:
        if error.status_code == HTTPStatus.NO_CONTENT:  # not an error: no body to send
            return Response(status_code=HTTPStatus.NO_CONTENT)
        code = HTTPStatus(error.status_code).phrase.lower().replace(" ", "_")
        detail = str(error.detail)
        if error.status_code == 404 and detail == "Not Found":
            detail = f"there is nothing at {request.url.path}"
        headers = dict(error.headers) if error.headers else None
        if error.status_code == 405:
            known = ", ".join(_known_methods(request))
            headers = (headers or {}) | {"Allow": known}
            detail = (
                f"{request.url.path} does not support {request.method}; supported methods: {known}"
            )
        return problem_response(Problem(error.status_code, code, detail, headers=headers))

    async def of_ours(request: Request, error: Exception) -> Response:
        del request
        code, message = getattr(error, "code", "error"), getattr(error, "message", str(error))
        return problem_response(Problem(STATUSES[type(error)], code, message))

    async def of_database(request: Request, error: SQLAlchemyError) -> Response:
        log.error("%s %s: %s", request.method, request.url.path, error)
        detail = "the database does not answer at the moment"
        headers = {"Retry-After": "2"}
        return problem_response(Problem(503, "database_unavailable", detail, headers=headers))

    async def of_bug(request: Request, error: Exception) -> Response:
        log.exception("%s %s", request.method, request.url.path, exc_info=error)
        detail = "internal error; see the log of the service for the traceback"
        return problem_response(Problem(500, "internal_error", detail))

    handlers: dict[type[Exception], Any] = {  # Any, as in the signature of Starlette
        Problem: of_problem,
        RequestValidationError: of_input,
        HTTPException: of_http,
        SQLAlchemyError: of_database,
        Exception: of_bug,
    } | dict.fromkeys(STATUSES, of_ours)
    for kind, handler in handlers.items():
        app.add_exception_handler(kind, handler)
