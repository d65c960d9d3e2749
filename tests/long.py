"""Marks parameters of a test as long: they run only with BABYLM_TRY_LONG=1."""

from collections.abc import Iterable

import pytest


def others_long(values: Iterable[str]) -> list[object]:
    """The values as parameters of a test, all marked as long except the first."""
    first, *others = values
    return [first, *(pytest.param(value, marks=pytest.mark.long) for value in others)]
