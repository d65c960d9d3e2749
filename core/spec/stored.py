"""Reads the specs of existing jobs from `spec.json` and from the database."""

import json
from collections.abc import Mapping
from typing import Any

from core.spec.job import STORED, JobSpec

RETIRED = {"training": {"weight_decay_schedule": "constant"}}
"""Removed fields by section, with the value that had no effect. Specs that were stored before the
removal still contain this value."""


def read_stored_spec(content: bytes | str | Mapping[str, Any]) -> JobSpec:  # any JSON values
    """The spec of an existing job, from JSON text or from a column of the database.

    Skips the rules that are newer than stored specs. `JobSpec` applies them to new specs only.

    Raises:
        ValidationError: If the spec is not valid.
    """
    # Validates JSON text: strict validation rejects some Python values that it accepts in JSON.
    text = content if isinstance(content, bytes | str) else json.dumps(content)
    try:
        body = json.loads(text)
    except ValueError:
        body = None  # the validation explains the fault
    if isinstance(body, dict):
        text = json.dumps({name: _without_retired(name, value) for name, value in body.items()})
    return JobSpec.model_validate_json(text, context=STORED)


def _without_retired(section: str, value: Any) -> Any:  # any JSON value
    retired = RETIRED.get(section)
    if retired is None or not isinstance(value, dict):
        return value
    return {
        name: each for name, each in value.items() if name not in retired or each != retired[name]
    }
