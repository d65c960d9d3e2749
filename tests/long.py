"""Parameters that only the long suite tests (`BABYLM_TRY_LONG=1`, as in `make check-all`)."""

from collections.abc import Iterable

import pytest


def one_of(values: Iterable[str]) -> list[object]:
    """The values as parameters of a test; all but the first are marked as long."""
    first, *others = values
    return [first, *(pytest.param(value, marks=pytest.mark.long) for value in others)]
