"""Functions that the synchronous client uses in place of those of asyncio."""

from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


def to_thread(function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
    """Calls the function directly, because the synchronous client has no event loop to block."""
    return function(*args, **kwargs)
