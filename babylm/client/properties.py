"""A decorator for methods of the asyncio client that are properties in the synchronous client."""

from collections.abc import Callable
from typing import TypeVar

F = TypeVar("F", bound=Callable[..., object])


def awaitable_property(method: F) -> F:
    """Returns the method unchanged; `babylm.generate_sync` replaces the name by `property`."""
    return method
