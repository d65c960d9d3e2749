"""Completes the OpenAPI document: adds all error responses and the API key.

FastAPI itself describes only one error response: a 422 with a JSON body of its own. The service
sends every error as a problem (RFC 9457). `complete` adds the problems whose status follows from
the method and path of a call; a route declares its other problems with `problems`.
"""

from collections.abc import Iterable
from http import HTTPStatus
from typing import Any, get_args

from fastapi import FastAPI

from api.errors import MEDIA_TYPE
from api.schemas import ProblemRead
from api.security import OPEN_PREFIXES, SAFE_METHODS
from jobs.states import FinalStatus

Json = dict[str, Any]  # any JSON value
KEY_SCHEME = "key"
EVENT_STREAM = "text/event-stream"
SCHEMA_NAME = ProblemRead.__name__
REFERENCE = {"$ref": f"#/components/schemas/{SCHEMA_NAME}"}
FINAL_STATUS: Json = {
    "type": "string",
    "enum": list(get_args(FinalStatus)),
    "description": "The statuses of a job that has ended.",
}
UNUSED_SCHEMAS = ("HTTPValidationError", "ValidationError")
DESCRIPTIONS = {
    400: "The Host header is unknown, or the body or a header cannot be parsed.",
    401: "The request has no valid key.",
    403: "A page of another site sent the request, or the service has no key and the client is on "
    "another machine.",
    404: "The path names something that does not exist.",
    408: "The client stopped sending.",
    409: "The current state does not allow the request.",
    410: "The resource existed and was removed.",
    413: "The body is too large.",
    416: "The range is outside of the file.",
    422: "The request is invalid.",
    503: "The service is overloaded or a part of it does not answer; try again later.",
    504: "The short worker did not answer in time.",
    507: "The disk is full.",
}
Responses = dict[int | str, dict[str, Any]]  # Any, as in the signature of FastAPI


def problems(*statuses: int) -> Responses:
    """The problem responses that are specific to a route."""
    return {status: _problem(status) for status in statuses}


def file_responses(media_type: str) -> Responses:
    """The responses of a route that sends a file with ranges."""
    content = {media_type: {"schema": {"type": "string", "format": "binary"}}}
    return {
        200: {"description": "The file.", "content": content},
        206: {"description": "A range of the file.", "content": content},
    } | problems(410, 416)


def text_responses(*media_types: str) -> Responses:
    """The response of a route that sends text of these types.

    If the route has a response model, FastAPI adds JSON.
    """
    return {200: {"content": {each: {"schema": {"type": "string"}} for each in media_types}}}


def event_responses(schema_name: str) -> Responses:
    """The response of a route that sends server-sent events with data of the named schema."""
    data = {
        "type": "string",
        "contentMediaType": "application/json",
        "contentSchema": {"$ref": f"#/components/schemas/{schema_name}"},
    }
    event = {
        "type": "object",
        "required": ["data"],
        "properties": {"data": data, "event": {"type": "string"}, "id": {"type": "string"}},
    }
    return {200: {"content": {EVENT_STREAM: {"itemSchema": event}}}}


def describe(app: FastAPI, *, needs_key: bool) -> None:
    """Makes the app send the OpenAPI document with the additions of `complete`."""
    original = app.openapi

    def openapi() -> Json:
        if app.openapi_schema is None:
            complete(original(), needs_key=needs_key)
        assert app.openapi_schema is not None
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def complete(document: Json, *, needs_key: bool) -> None:
    """Adds the refusals and the key scheme to FastAPI's document."""
    components = document.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    for name in UNUSED_SCHEMAS:
        schemas.pop(name, None)
    schema = ProblemRead.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas |= schema.pop("$defs", {}) | {SCHEMA_NAME: schema, "FinalStatus": FINAL_STATUS}
    components["securitySchemes"] = {
        KEY_SCHEME: {
            "type": "http",
            "scheme": "bearer",
            "description": "A key of BABYLM_API_KEY. If the service has no key, you need none.",
        }
    }
    for path, methods in document["paths"].items():
        is_open = path.startswith(OPEN_PREFIXES)
        for method, call in methods.items():
            # An empty requirement makes the key optional.
            optional: list[Json] = [] if needs_key else [{}]
            call["security"] = [] if is_open else [*optional, {KEY_SCHEME: []}]
            responses = call["responses"]
            responses.pop("422", None)
            content = responses.get("200", {}).get("content", {}).get(EVENT_STREAM, {})
            if "itemSchema" in content:
                content.pop("schema", None)  # this schema describes the whole body as text
            for status in _statuses(path, method.upper()):
                response = responses.setdefault(str(status), _problem(status))
                response["content"][MEDIA_TYPE] = {"schema": REFERENCE}
            call["responses"] = dict(sorted(responses.items()))


def _statuses(path: str, method: str) -> Iterable[int]:
    """The refusals that follow from method and path alone."""
    yield 400
    yield 403
    if not path.startswith(OPEN_PREFIXES):
        yield 401
    if method not in SAFE_METHODS:
        yield from (408, 413)
    if "{" in path:
        yield 404
    if path.startswith("/v1/"):
        yield 422  # any call refuses unknown query parameters
    if path != "/healthz":
        yield 503


def _problem(status: int) -> Json:
    description = DESCRIPTIONS.get(status, HTTPStatus(status).phrase)
    return {"description": description, "content": {MEDIA_TYPE: {"schema": REFERENCE}}}
