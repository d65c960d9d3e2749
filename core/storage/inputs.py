"""The inputs of a run: the texts and the tokenizer that its weights are trained on.

`inputs.json` in the run folder records the cached result of each finished stage and the hashes of
the dataset's files. A run that is resumed, retried or restarted uses these results even if the
dataset has changed. The cache keeps the results ("pins" them) until the run has finished or its
folder is removed.
"""

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from core.errors import CorpusChanged, first_names
from core.events.journal import events_of_types
from core.events.types import StageData
from core.spec.job import JobSpec
from core.storage.cache import Cache, CacheEntry, fingerprint
from core.storage.dataset_origins import DatasetOrigin
from core.storage.rundir import STAGING_SUFFIX, RunDir, publish_file

log = logging.getLogger(__name__)

SHOWN_NAMES = 10
UNTRAINED_HINT = (
    "Restore the files and retry. This job has not trained yet: if you do not restore the files, a "
    "retry or a new job uses the current text."
)


class OwnTokenizer(BaseModel):
    """The copy of the tokenizer in the run folder."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    fingerprint: str
    sha256: str
    """SHA-256 of `tokenizer.json`."""


class InputRecord(BaseModel):
    """The content of `inputs.json`."""

    model_config = ConfigDict(extra="forbid")

    format_version: Literal[1] = 1
    asked: str
    """Fingerprint of the sections `data` and `tokenizer` of the spec."""
    files: dict[str, dict[str, str]] = {}
    """Hashes of the files of the dataset, by split (`train` or `validation`) and by file name."""
    origins: dict[str, list[DatasetOrigin]] = {}
    """Known origins of these files, by split."""
    results: dict[str, str] = {}
    """Fingerprints of results by name, such as `clean/train`, `tokenizer` or `tokenize/train`."""
    tokenizer: OwnTokenizer | None = None
    tasks: dict[str, str] = {}
    """Hashes of the evaluation tasks that the run has used, by task."""


class Inputs:
    """The inputs of one run, recorded as its stages finish."""

    def __init__(self, spec: JobSpec, rundir: RunDir, cache: Cache) -> None:
        self._rundir, self._cache = rundir, cache
        self.waiting: Callable[[], None] = lambda: None
        """Called repeatedly while another run builds a result that this run needs."""
        self._asked = fingerprint(
            "inputs",
            version=1,
            parameters=[spec.data.model_dump(mode="json"), spec.tokenizer.model_dump(mode="json")],
            inputs=[],
        )
        record = read_record(rundir.inputs)
        self.is_adopting = record is None and self.has_trained
        """True if an older version, which wrote no record, has trained the run. `adopt` writes the
        record."""
        self._record = record or InputRecord(asked=self._asked)
        if self._record.asked != self._asked and not self.has_trained:
            self.forget()  # the spec was edited before training started

    @property
    def has_trained(self) -> bool:
        """Whether the run has weights that were trained on its text."""
        return any(
            not path.name.endswith(STAGING_SUFFIX)
            for folder in (self._rundir.resume, self._rundir.checkpoints)
            if folder.is_dir()
            for path in folder.iterdir()
        )

    @property
    def tokenizer(self) -> OwnTokenizer | None:
        """The recorded tokenizer of the run."""
        return self._record.tokenizer

    def files(self, split: str) -> dict[str, str]:
        """Hashes of the files of a split, by name; empty if they are not recorded yet."""
        return self._record.files.get(split, {})

    def find(self, name: str) -> CacheEntry | None:
        """The recorded result called `name`; None if it is not recorded or not in the cache."""
        recorded = self._record.results.get(name)
        if recorded is None:
            return None
        entry = self._cache.find(_stage(name), recorded)
        if entry is not None:
            self._cache.pin(_stage(name), recorded, self._rundir.inputs)
        return entry

    def take(
        self,
        name: str,
        key: str,
        build: Callable[[Path], None],
        *,
        resume: bool = False,
    ) -> CacheEntry:
        """The recorded result called `name`.

        If no result is recorded, or if it is lost and its fingerprint is `key`, the method takes
        the result for `key` from the cache, or builds it, and records it.

        Raises:
            CorpusChanged: If the recorded result is lost and its fingerprint is not `key`.
        """
        if (entry := self.find(name)) is not None:
            return entry
        self.require(name, key, "this version of the service computes a different one")
        entry = self._cache.get(_stage(name), key, build, resume=resume, waiting=self.waiting)
        self._cache.pin(_stage(name), key, self._rundir.inputs)
        self._record.results[name] = key
        self._save()
        return entry

    def require(self, name: str, key: str, reason: str) -> None:
        """Checks that `key` equals the recorded fingerprint, if a fingerprint is recorded.

        Raises:
            CorpusChanged: If the two differ; the message contains the reason.
        """
        if self._record.results.get(name, key) != key:
            raise self.changed(
                f"the result {name} that this run started with is no longer in the cache and "
                f"cannot be rebuilt: {reason}"
            )

    def changed(self, message: str) -> CorpusChanged:
        """The error `corpus_changed`, with a hint that depends on whether the run has trained."""
        return CorpusChanged(message, hint=None if self.has_trained else UNTRAINED_HINT)

    def record_files(self, split: str, files: dict[str, str], origins: list[DatasetOrigin]) -> None:
        """Records the files of a split, and the known origins of the dataset.

        The record is saved together with the split's result.
        """
        self._record.files[split] = files
        self._record.origins[split] = origins

    def record_tokenizer(self, tokenizer: OwnTokenizer) -> None:
        """Records the copy of the tokenizer in the run folder."""
        self._record.tokenizer = tokenizer
        self._save()

    def record_task(self, task: str, content: str) -> bool:
        """Records the hash of an evaluation task; False if another hash was recorded before."""
        before = self._record.tasks.get(task, content)
        self._record.tasks[task] = content
        self._save()
        return before == content

    def adopt(self) -> None:
        """Writes the record of a run of an older version. The caller has made all checks."""
        self.is_adopting = False
        self._save()

    def forget(self) -> None:
        """Removes the record, so that the next attempt uses the current text."""
        self.unpin()
        self._rundir.inputs.unlink(missing_ok=True)
        self._record = InputRecord(asked=self._asked)

    def unpin(self) -> None:
        """Unpins all results, so that the cache may remove them."""
        for name, recorded in self._record.results.items():
            self._cache.unpin(_stage(name), recorded, self._rundir.inputs)

    def _save(self) -> None:
        if not self.is_adopting:
            publish_file(self._rundir.inputs, self._record.model_dump_json(indent=2).encode())


def changed_files(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """A description of the added, removed and edited files; empty if no file has changed."""
    groups = {
        "added": now.keys() - before.keys(),
        "removed": before.keys() - now.keys(),
        "edited": {name for name in before.keys() & now.keys() if before[name] != now[name]},
    }
    return "; ".join(
        f"{what}: {first_names(sorted(names), most=SHOWN_NAMES)}"
        for what, names in groups.items()
        if names
    )


def require_text_of_journal(journal: Path, counts: Mapping[str, Any]) -> None:
    """Compares the cleaned text with the counts that earlier attempts wrote to the journal.

    Used for runs of older versions, which recorded no hashes.

    Raises:
        CorpusChanged: If numbers of words or lines differ; the message names the sources.
    """
    recorded = clean_counts(journal)
    if recorded is None:
        return
    for split in ("train", "validation"):
        changes = changed_files(_sizes(recorded, split), _sizes(counts, split))
        if changes:
            raise CorpusChanged(f"the {split} text is not the one this run began with: {changes}")


def clean_counts(journal: Path) -> dict[str, Any] | None:  # any JSON value
    """The counts of the stage `clean`; None if the journal does not record the end of the stage."""
    counts = None
    for event in events_of_types(journal, "stage"):
        if isinstance(event, StageData) and event.stage == "clean" and event.state == "finished":
            counts = event.counts
    return counts


def read_record(path: Path) -> InputRecord | None:
    """The recorded inputs of a run; None if there is no record that this version can read."""
    try:
        return InputRecord.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValidationError as error:
        log.warning("%s is invalid and is ignored: %s", path, error)
        return None


def _sizes(counts: Mapping[str, Any], split: str) -> dict[str, tuple[int, int]]:
    sources = counts.get(split, {}).get("sources", {})
    return {stem: (source["words"], source["lines"]) for stem, source in sources.items()}


def _stage(name: str) -> str:
    return name.partition("/")[0]
