"""Keeps the cache of stage results within its size limit while the API runs."""

import logging
import threading

from core.storage.cache import Cache

log = logging.getLogger(__name__)

LOOK_SECONDS = 60.0


class CacheThread(threading.Thread):
    """Prunes the cache periodically. Keeps results that unfinished runs have locked or pinned."""

    def __init__(self, cache: Cache, *, max_bytes: int, seconds: float = LOOK_SECONDS) -> None:
        super().__init__(name="cache", daemon=True)
        self._cache = cache
        self._max_bytes = max_bytes
        self._seconds = seconds
        self._stopped = threading.Event()

    def run(self) -> None:
        """The loop."""
        while True:
            try:
                for entry in self._cache.prune(self._max_bytes):
                    log.info("cache: %s %s dropped", entry.stage, entry.fingerprint)
            except OSError:  # the disk fails; the thread tries again later
                log.exception("cache")
            if self._stopped.wait(self._seconds):
                return

    def stop(self) -> None:
        """Ends the thread."""
        self._stopped.set()
        if self.is_alive():
            self.join(timeout=10.0)
