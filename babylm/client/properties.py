"""The decorator of methods that are properties in the synchronous client."""

from collections.abc import Callable
from typing import TypeVar

F = TypeVar("F", bound=Callable[..., object])


def awaitable_property(method: F) -> F:
    """Leaves the method as it is; `babylm.generate_sync` replaces it by `property`."""
    return method
