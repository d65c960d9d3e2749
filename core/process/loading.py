"""Loading large libraries, once, without the garbage collector going through them meanwhile."""

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def loading(library: str) -> Iterator[None]:
    """Within it `library` and what goes with it may be imported in less time.

    Torch and transformers make a million objects that live as long as the process. The collector
    starts hundreds of times on the way and finds nothing: a fifth of the whole. So it rests, and
    never looks at what was there when it goes on (`gc.freeze`). Does nothing where the library is
    loaded already.
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
