"""Fields of a spec, and the error for a name that does not exist."""

from collections.abc import Mapping
from typing import Any

from babylm.client.errors import ServiceError
from babylm.client.wire import Body


def with_fields(spec: Mapping[str, Any] | None, given: Mapping[str, Any]) -> Body:
    """The spec with the given fields; a section that is in both is merged field by field."""
    body = dict(spec or {})
    for field, value in given.items():
        if value is None:
            continue
        before = body.get(field)
        is_section = isinstance(value, Mapping)
        if is_section and isinstance(before, Mapping):
            body[field] = {**before, **value}
        else:
            body[field] = dict(value) if is_section else value
    return body


def not_found(kind: str, name: str, hint: str, error: ServiceError) -> ServiceError:
    """The error for an id that does not exist; `error` is the refusal of the service."""
    return ServiceError(
        error.status_code,
        f"there is no {kind} {name}",
        hint=hint,
        code=f"{kind}_not_found",
        details=error.details,
    )
