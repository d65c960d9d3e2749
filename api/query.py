"""Refuses unknown query parameters, as the schemas refuse unknown fields of a body."""

from difflib import get_close_matches

from fastapi import Request
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute

from api.errors import MAX_ERRORS, MAX_NAME, Problem, listed, shortened


async def refuse_unknown_parameters(request: Request) -> None:
    """Raises a 422 problem that names the unknown parameters and the known ones."""
    route = request.scope.get("route")
    if not isinstance(route, APIRoute) or not route.include_in_schema:
        return  # a page, which reads its parameters itself, or a route that only answers 405
    known = _parameters(route.dependant)
    unknown = [name for name in request.query_params if name not in known]
    if not unknown:
        return
    choices = f"the known parameters are {', '.join(known)}" if known else "this call takes none"
    explained = unknown[:MAX_ERRORS]
    fields = [
        (name, _message(name, known, choices), request.query_params[name]) for name in explained
    ]
    names = listed(explained, total=len(unknown))
    raise Problem(422, "input_invalid", f"not accepted: {names}", fields=fields)


def _parameters(dependant: Dependant) -> list[str]:
    """The query parameters of a call and of its dependencies."""
    known = [field.alias for field in dependant.query_params]
    for inner in dependant.dependencies:
        known += _parameters(inner)
    return known


def _message(name: str, known: list[str], choices: str) -> str:
    close = get_close_matches(shortened(name, MAX_NAME), known, n=1)
    guess = f"; did you mean {close[0]}?" if close else ""
    return f"There is no such query parameter{guess} ({choices})."
