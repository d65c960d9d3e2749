"""Imports large libraries faster by pausing the garbage collector."""

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def loading(library: str) -> Iterator[None]:
    """A context in which `library` and its dependencies are imported faster.

    Importing torch and transformers creates a million objects that live as long as the process. The
    garbage collector would run hundreds of times and free nothing, which takes a fifth of the
    import time. So the context disables the collector, and excludes the objects from later
    collections (`gc.freeze`). It does nothing if the library is already imported.
    """
    if library in sys.modules or not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
