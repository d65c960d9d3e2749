"""A log filter that limits repeated messages, so that they cannot fill the disk."""

import asyncio
import logging
import threading
import time
from collections.abc import Callable

WINDOW_SECONDS = 60.0
MAX_SAME = 5
"""Maximum number of equal messages in a window."""
MAX_ALIKE = 100
"""Maximum number of messages of one template in a window. This limit is needed because a client
may choose a part of a message, such as a path, and so make all messages different."""
MAX_KEYS = 10_000


class QuietFilter(logging.Filter):
    """Drops repeated messages; the first message of the next window gives the number of drops."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._lock = threading.Lock()
        self._begun_at = clock()
        self._counts: dict[tuple[str, str], int] = {}
        self._num_dropped = 0

    def filter(self, record: logging.LogRecord) -> bool:
        """False for a message that was logged too often in this window, and for a cancellation."""
        if record.exc_info and isinstance(record.exc_info[1], asyncio.CancelledError):
            return False  # uvicorn logs how many responses it cancels at a shutdown
        message = record.getMessage()
        with self._lock:
            dropped = self._next_window()
            is_kept = self._count("same", message) <= MAX_SAME
            is_kept &= self._count("alike", str(record.msg)) <= MAX_ALIKE
            if not is_kept:
                self._num_dropped += 1
        if dropped:
            note = f"{dropped:,} messages were dropped before this one, to limit the log"
            record.msg, record.args = f"{message} ({note})", ()
        return is_kept

    def _next_window(self) -> int:
        """Begins a new window if the old one is over; returns the number of drops in the old."""
        now = self._clock()
        if now - self._begun_at < WINDOW_SECONDS:
            return 0
        dropped, self._num_dropped = self._num_dropped, 0
        self._begun_at = now
        self._counts.clear()
        return dropped

    def _count(self, kind: str, text: str) -> int:
        key = (kind, text)
        if key not in self._counts and len(self._counts) >= MAX_KEYS:
            return MAX_ALIKE + 1
        self._counts[key] = self._counts.get(key, 0) + 1
        return self._counts[key]
