"""Limits the time that requests wait in a queue."""

import time
from collections.abc import Callable

BURST_SECONDS = 5.0
"""Maximum seconds that a request waits in a burst."""
OVERLOAD_SECONDS = 0.05
"""Maximum seconds that a request waits once BURST_SECONDS have passed since the queue was empty."""


class QueueDelay:
    """Limits how long a request waits: seconds in a burst, milliseconds under sustained overload.

    The requests of a burst may wait, because the last one is answered after a few seconds. Under
    sustained overload a first-in-first-out queue stays full, and every request waits for the whole
    queue. In that case a request that has waited for more than OVERLOAD_SECONDS is refused, so that
    the service answers recent requests. This method is controlled delay (Nichols and Jacobson 2012,
    "Controlling Queue Delay", ACM Queue 10(5)), as adapted to servers by Maurer 2015, "Fail at
    Scale", ACM Queue 13(8).
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._empty_at = clock()

    def enter(self, *, is_empty: bool) -> float:
        """Records that a request enters the queue; returns the time."""
        now = self._clock()
        if is_empty:
            self._empty_at = now
        return now

    def is_too_long(self, entered_at: float) -> bool:
        """Whether a request that entered the queue at `entered_at` has waited too long by now."""
        now = self._clock()
        is_overload = now - self._empty_at > BURST_SECONDS
        return now - entered_at > (OVERLOAD_SECONDS if is_overload else BURST_SECONDS)
