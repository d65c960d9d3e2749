"""Imports large libraries faster by pausing the garbage collector."""

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def loading(library: str) -> Iterator[None]:
    """A context in which `library` and its dependencies are imported faster.

    Importing torch and transformers creates a million objects that live as long as the process. The
    collector runs hundreds of times and frees nothing, which takes a fifth of the import time. It
    is disabled meanwhile, and the objects are excluded from later collections (`gc.freeze`). Does
    nothing if the library is already imported.
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
