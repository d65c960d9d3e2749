"""Reads the specs of existing jobs from `spec.json` and from the database."""

import json
from collections.abc import Mapping
from typing import Any

from core.spec.job import STORED, JobSpec


def read_stored_spec(content: bytes | str | Mapping[str, Any]) -> JobSpec:  # any JSON values
    """The spec of an existing job, from JSON text or from a column of the database.

    Skips the rules that are newer than stored specs. `JobSpec` applies them to new specs only.

    Raises:
        ValidationError: If the spec is not valid.
    """
    # Validates JSON text: strict validation rejects some Python values that it accepts in JSON.
    text = content if isinstance(content, bytes | str) else json.dumps(content)
    return JobSpec.model_validate_json(text, context=STORED)
