"""What the synchronous client has in place of asyncio's functions."""

from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


def to_thread(function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
    """Calls the function here; `asyncio.to_thread` keeps it out of the event loop."""
    return function(*args, **kwargs)
