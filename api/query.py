"""Query parameters: one that a call does not know is refused, as an unknown field of a body is."""

from difflib import get_close_matches

from fastapi import Request
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute

from api.errors import Problem


async def refuse_unknown_parameters(request: Request) -> None:
    """Raises a 422 problem that names each unknown parameter and the known ones."""
    route = request.scope.get("route")
    if not isinstance(route, APIRoute):
        return
    known = _parameters(route.dependant)
    unknown = [name for name in request.query_params if name not in known]
    if not unknown:
        return
    choices = f"known are {', '.join(known)}" if known else "this call takes none"
    fields = [
        (name, _message(name, known, choices), request.query_params[name]) for name in unknown
    ]
    raise Problem(422, "input_invalid", f"not accepted: {', '.join(unknown)}", fields=fields)


def _parameters(dependant: Dependant) -> list[str]:
    """The query parameters of a call and of all that it depends on."""
    known = [field.alias for field in dependant.query_params]
    for inner in dependant.dependencies:
        known += _parameters(inner)
    return known


def _message(name: str, known: list[str], choices: str) -> str:
    close = get_close_matches(name, known, n=1)
    guess = f"; did you mean {close[0]}?" if close else ""
    return f"There is no such query parameter{guess} ({choices})."
