"""Explains validation errors of a job spec: names the field and what it accepts."""

import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from core.archs import ARCHITECTURES
from core.spec.job import JobSpec

MIN_SIMILARITY = 0.75
"""Smallest similarity (difflib ratio) at which a known name is suggested for an unknown one."""
MAX_EXAMPLE = 40
"""Maximum number of characters of a given value that becomes an example."""
MAX_NAME = 100
"""Maximum number of characters of a name that are compared, because difflib takes quadratic time.
No field name is longer."""


NAME_PATTERN = re.compile(r"\^\[A-Za-z0-9\]\[A-Za-z0-9\._-\]\{0,(\d+)\}\$")
"""The pattern of names of datasets, evaluation tasks and tokenizers."""


def field_name(location: Sequence[int | str]) -> str:
    """The dotted name of a field, as a user writes it: `model.hidden_size`."""
    if location and location[0] == "query" and isinstance(location[-1], int):
        location = location[:-1]  # the index of a repeated parameter, which no user writes
    parts = [str(part) for part in location]
    if parts and parts[0] in ("body", "query", "path", "header"):
        parts = parts[1:]
    # The section `model` is a tagged union. pydantic inserts the tag (the architecture) after it.
    if len(parts) > 1 and parts[0] == "model" and parts[1] in ARCHITECTURES:
        parts = [parts[0], *parts[2:]]
    return ".".join(parts)


def explain(
    entry: Mapping[str, Any],  # an error entry of pydantic
    *,
    is_spec: bool = True,
) -> tuple[str, str]:
    """The name of the wrong field, and what it accepts.

    Args:
        entry: One of `ValidationError.errors()`.
        is_spec: True if the validated value is a job spec, or a request that has one as its body.
    """
    location = entry["loc"]
    if entry["type"] == "union_tag_invalid":
        accepted = entry["ctx"]["expected_tags"].replace("'", "")
        tag = entry["ctx"]["discriminator"].replace("'", "")
        return field_name((*location, tag)), f"must be one of {accepted}"
    if entry["type"] == "extra_forbidden":
        known = _accepted_fields(location, is_spec)
        suggestion = _suggestion(location, known) if is_spec else None
        # The guess comes first, because a section can have 40 fields.
        guess = f"; did you mean {suggestion}?" if suggestion else ""
        choices = f" (accepted here: {', '.join(known)})" if known else ""
        return field_name(location), f"there is no such field{guess}{choices}"
    return field_name(location), _accepted_values(entry)


def _accepted_values(entry: Mapping[str, Any]) -> str:  # an error entry of pydantic
    """What the field accepts, with an example of the right form if possible."""
    given, context = entry.get("input"), entry.get("ctx") or {}
    match entry["type"]:
        case "string_pattern_mismatch" if name := NAME_PATTERN.fullmatch(context["pattern"]):
            return (
                f"must have 1 to {int(name[1]) + 1} letters, digits, '.', '_' and '-', and begin "
                "with a letter or digit"
            )
        case "literal_error" | "enum":
            return f"must be one of {_without_quotes(context['expected'])}"
        case "list_type":
            is_entry = isinstance(given, str | int | float) and len(str(given)) <= MAX_EXAMPLE
            return f"must be a list, such as [{given if is_entry else 'a, b'}]"
        case "model_type" | "model_attributes_type" | "dict_type":
            return "must be a section with fields, such as {field: value}"
        case "int_type" | "int_parsing" | "int_from_float":
            return "must be a whole number, such as 3"
        case "float_type" | "float_parsing":
            return "must be a number, such as 0.5"
        case "bool_type" | "bool_parsing":
            return "must be true or false"
        case "string_type":
            return "must be a text"
        case _:
            message = str(entry["msg"]).removeprefix("Value error, ")
            return re.sub("^Input should be ", "must be ", message)


def _without_quotes(expected: str) -> str:
    """The accepted values as pydantic lists them, without quotes and `or`."""
    return expected.replace("' or '", "', '").replace("'", "").replace(" or ", ", ")


def _suggestion(location: Sequence[int | str], known: Sequence[str]) -> str | None:
    """The known field that the user probably means; None if there is none.

    If exactly one section has a field of this name, it is that field. Otherwise it is the field of
    the most similar name in `known`.
    """
    field = str(location[-1])
    found = [
        f"{name}.{field}"
        for name, section in JobSpec.model_fields.items()
        if field in getattr(section.annotation, "model_fields", ())
    ]
    if len(found) == 1:
        return found[0]
    similar = get_close_matches(field[:MAX_NAME], known, n=1, cutoff=MIN_SIMILARITY)
    return field_name((*location[:-1], *similar)) if similar else None


def _accepted_fields(location: Sequence[int | str], is_spec: bool) -> list[str]:
    """The known fields of the section of an unknown field; empty if the section is unknown."""
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
