"""Control of the time that requests wait in a queue."""

import time
from collections.abc import Callable

BURST_SECONDS = 5.0
"""Limit in a burst; a longer queue is too long for the speed of the machine."""
OVERLOAD_SECONDS = 0.05
"""Limit once the queue has not been empty for BURST_SECONDS."""


class QueueDelay:
    """Limits how long a request waits: seconds in a burst, an instant under sustained overload.

    A burst is worth waiting for: its last request is answered after a few seconds. Under sustained
    overload a first-in-first-out queue stays full, and every request waits for all of it. Then a
    request that has waited for more than OVERLOAD_SECONDS is refused, so the requests that are
    served are fresh ones. This is controlled delay (Nichols and Jacobson 2012, "Controlling Queue
    Delay", ACM Queue 10(5)) in the form for servers by Maurer 2015, "Fail at Scale", ACM Queue
    13(8).
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._empty_at = clock()

    def enter(self, *, is_empty: bool) -> float:
        """Notes that a request enters a queue; returns the time."""
        now = self._clock()
        if is_empty:
            self._empty_at = now
        return now

    def is_too_long(self, entered_at: float) -> bool:
        """Whether a request that entered then and has its turn now has waited for too long."""
        now = self._clock()
        is_overload = now - self._empty_at > BURST_SECONDS
        return now - entered_at > (OVERLOAD_SECONDS if is_overload else BURST_SECONDS)
