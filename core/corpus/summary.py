"""Cleaning reports of whole datasets, made in the background.

The cleaned text goes into the cache under the key that a run uses, so the first job with the
dataset finds it there.
"""

import json
import threading
from pathlib import Path
from typing import Any

from core.corpus.sources import find_source_files
from core.corpus.stage import clean_corpus, clean_fingerprint, require_unchanged
from core.errors import RunError
from core.spec.corpus import CleanOptions
from core.storage.cache import Cache


class CleanReports:
    """Makes the report of each dataset in a thread, which starts processes for the cleaning."""

    def __init__(self) -> None:
        self._works: dict[Path, _Work] = {}

    def look(self, dataset: Path, cache_dir: Path, *, seconds: float) -> dict[str, Any]:
        """Waits for at most `seconds`; returns the report as JSON, or the progress of the work.

        Raises:
            RunError: If the dataset cannot be cleaned.
        """
        work = self._works.get(dataset)
        if work is None:
            work = self._works[dataset] = _Work(dataset, cache_dir)
            work.start()
        work.join(seconds)
        if work.is_alive():
            return {"state": {}, "progress": work.progress}
        del self._works[dataset]
        if work.error is not None:
            raise work.error
        assert work.report is not None
        return {"report": work.report}


class _Work(threading.Thread):
    def __init__(self, dataset: Path, cache_dir: Path) -> None:
        super().__init__(name="clean", daemon=True)
        self._dataset = dataset
        self._cache_dir = cache_dir
        self.progress = 0.0
        self.report: Any = None  # any JSON value
        self.error: Exception | None = None

    def run(self) -> None:
        """Cleans, and stores the error if that fails."""
        try:
            self.report = self._clean()
        except RunError as error:
            # The API shows this message, so it must not contain paths of this machine.
            error.replace(f"{self._dataset}/", "")
            self.error = error
        except Exception as error:  # top of the thread; `look` raises it
            self.error = error

    def _clean(self) -> Any:  # any JSON value
        files = find_source_files(self._dataset)
        options = CleanOptions()

        def build(folder: Path) -> None:
            clean_corpus(
                files,
                options=options,
                output=folder,
                progress=self._advance,
                should_stop=lambda: False,
            )
            require_unchanged(files, options, cache, key)

        cache = Cache(self._cache_dir)
        key = clean_fingerprint(files, options, cache)
        try:
            entry = cache.get("clean", key, build)
            return json.loads((entry.path / "report.json").read_bytes())
        finally:
            cache.release()

    def _advance(self, share: float) -> None:
        self.progress = share
