"""What is wrong with a job spec, in words: which field, and what would be accepted there."""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from core.archs import ARCHITECTURES
from core.spec.job import JobSpec

ALIKE = 0.75
"""How like a known name a mistyped one must be to be told, by difflib's measure."""
MAX_NAME = 100
"""Characters of a name that is compared; no field has a longer one."""


def field_name(location: Sequence[int | str]) -> str:
    """Where in the request a fault lies, as a user writes it: `model.hidden_size`."""
    parts = [str(part) for part in location]
    if parts and parts[0] in ("body", "query", "path", "header"):
        parts = parts[1:]
    # pydantic puts the tag of the union between the section and its field.
    if len(parts) > 1 and parts[0] == "model" and parts[1] in ARCHITECTURES:
        parts = [parts[0], *parts[2:]]
    return ".".join(parts)


def explain(
    entry: Mapping[str, Any],  # Any: pydantic's
    *,
    is_spec: bool = True,
) -> tuple[str, str]:
    """Which field is wrong, and what would be accepted there.

    Args:
        entry: One of `ValidationError.errors()`.
        is_spec: A job spec was validated, or a request whose body is one.
    """
    location = entry["loc"]
    if entry["type"] == "union_tag_invalid":
        accepted = entry["ctx"]["expected_tags"].replace("'", "")
        tag = entry["ctx"]["discriminator"].replace("'", "")
        return field_name((*location, tag)), f"must be one of {accepted}"
    if entry["type"] == "extra_forbidden":
        known = _accepted_fields(location, is_spec)
        message = "there is no such field" + (
            f"; accepted here: {', '.join(known)}" if known else ""
        )
        meant = _meant(location, known) if is_spec else None
        return field_name(location), message + (f"; did you mean {meant}?" if meant else "")
    return field_name(location), str(entry["msg"]).removeprefix("Value error, ")


def _meant(location: Sequence[int | str], known: Sequence[str]) -> str | None:
    """A field of another section that has this name alone, or the one here that is most like it."""
    field = str(location[-1])
    found = [
        f"{name}.{field}"
        for name, section in JobSpec.model_fields.items()
        if field in getattr(section.annotation, "model_fields", ())
    ]
    if len(found) == 1:
        return found[0]
    # difflib takes quadratic time.
    alike = get_close_matches(field[:MAX_NAME], known, n=1, cutoff=ALIKE)
    return field_name((*location[:-1], *alike)) if alike else None


def _accepted_fields(location: Sequence[int | str], is_spec: bool) -> list[str]:
    """The fields beside an unknown one of a job spec; none where it was in another body."""
    match [part for part in location if part != "body"]:
        case ["model", str(architecture), _] if architecture in ARCHITECTURES:
            return list(ARCHITECTURES[architecture].model_fields)
        case [str(name), _] if name in JobSpec.model_fields:
            section = JobSpec.model_fields[name].annotation
            return list(getattr(section, "model_fields", ()))
        case [_] if is_spec:
            return list(JobSpec.model_fields)
        case _:
            return []
