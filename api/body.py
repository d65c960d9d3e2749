"""Parses JSON bodies within limits, so that a malicious body takes little time to validate."""

import json
from typing import Any

from starlette.requests import Request

from api.errors import Problem

MAX_VALUES = 10_000
"""Maximum number of keys and items in a body. Validation may create an error for each of them. A
job spec has about 150 keys and items."""


class BoundedRequest(Request):
    """A request that limits the number of values in its JSON body."""

    async def json(self) -> Any:  # any JSON value
        """The parsed body.

        Raises:
            Problem: 400 if the body is not valid JSON, 413 if it has too many values.
        """
        try:
            body = json.loads(await self.body())
        except RecursionError as error:
            raise Problem(400, "json_invalid", "the body is nested too deeply") from error
        except ValueError as error:  # also for invalid UTF-8 and for integers of over 4,300 digits
            raise Problem(400, "json_invalid", f"the body is not valid JSON: {error}") from error
        _check_size(body)
        return body


def _check_size(body: object) -> None:
    waiting, count = [body], 0
    while waiting:
        value = waiting.pop()
        if not isinstance(value, dict | list):
            continue
        count += len(value)
        if count > MAX_VALUES:
            detail = f"a body may have at most {MAX_VALUES:,} keys and items"
            raise Problem(413, "body_too_large", detail)
        waiting.extend(value.values() if isinstance(value, dict) else value)
