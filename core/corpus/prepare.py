"""The stage `clean`: makes the splits of a run from the files of its datasets. Uses the cache."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from core.corpus import long_words
from core.corpus.names import DATASET_FILES, shown_name
from core.corpus.report import CleanReport, recount
from core.corpus.sources import (
    SourceFile,
    find_source_files,
    missing_sources,
    row_options,
    scan_folder,
)
from core.corpus.split import Split
from core.corpus.stage import (
    FORMER_CLEAN_VERSION,
    SHOWN_FILES,
    clean_corpus,
    clean_fingerprint,
    require_unchanged,
)
from core.errors import CorpusChanged, CorpusMissing, WordBudgetExceeded
from core.spec.job import TRACK_WORDS, JobSpec
from core.stages.context import Run
from core.stages.reporter import StageReporter
from core.storage.cache import CacheEntry, fingerprint
from core.storage.dataset_origins import read_origins, with_files
from core.storage.inputs import changed_files, require_text_of_journal

Mode = Literal["report", "exact", "near"]


def clean_splits(run: Run, reporter: StageReporter) -> tuple[Split, Split | None]:
    """The cleaned training text and, if the spec names one, the cleaned validation text.

    Raises:
        RunError: If a file is missing, empty or not UTF-8, or if the track allows fewer words than
            the text has.
    """
    data = run.spec.data
    with reporter.stage("clean") as stage:
        train = _RawSplit.open(run, "train", data.dataset)
        validation = _RawSplit.open(run, "validation", data.validation) if data.validation else None
        raw = [train] if validation is None else [train, validation]
        total = sum(split.bytes for split in raw)
        done, cleaned, stage.cached = 0, [], True
        for split in raw:
            result, cached = _clean_split(run, reporter, split, done=done, total=total)
            cleaned.append(result)
            stage.cached &= cached
            stage.counts[split.name] = result.report.counts()
            _warn_of_long_words(run, result.report)
            _warn_of_malformed_rows(run, result.report)
            done += split.bytes
        clean_train, clean_validation = cleaned[0], cleaned[1] if validation else None
        if data.deduplicate != "none":
            clean_train, found, cached = _deduplicate(
                run, clean_train, clean_validation, data.deduplicate
            )
            stage.counts["train"] = clean_train.report.counts()
            stage.counts["duplicates"] = found
            stage.cached &= cached
        if run.inputs.is_adopting:
            require_text_of_journal(run.rundir.journal, stage.counts)
    check_budget(run.spec, clean_train.report)
    return clean_train, clean_validation


def _warn_of_long_words(run: Run, report: CleanReport) -> None:
    found = {
        stem: source.dropped[long_words.DROP_NAME]
        for stem, source in report.sources.items()
        if long_words.DROP_NAME in source.dropped
    }
    for stem, dropped in found.items():
        run.warn(
            "long_words_split",
            f"{stem} has {dropped.count:,} words of more than {long_words.MAX_WORD_CHARACTERS:,} "
            f"characters, which were split; the first is in {dropped.examples[0]}",
        )


def _warn_of_malformed_rows(run: Run, report: CleanReport) -> None:
    for stem, source in report.sources.items():
        if source.rows is not None and source.rows.malformed:
            run.warn(
                "rows_skipped",
                f"{stem} has {source.rows.malformed:,} malformed rows of {source.rows.read:,}, "
                f"which were skipped; the first: {source.rows.examples[0]}",
            )


@dataclass(frozen=True)
class _RawSplit:
    """A dataset of the run: its recorded cleaned text, or its files if no text is recorded."""

    name: Literal["train", "validation"]
    entry: CacheEntry | None
    files: Sequence[SourceFile]

    @classmethod
    def open(cls, run: Run, name: Literal["train", "validation"], dataset: str) -> "_RawSplit":
        """Opens a dataset.

        Prefers the recorded text, because the files may have changed since the run began.
        """
        entry = run.inputs.find(f"clean/{name}")
        return cls(name, entry, [] if entry is not None else _find_files(run, name, dataset))

    @property
    def bytes(self) -> int:
        """Size of the text to clean."""
        return sum(file.bytes for file in self.files)


def _find_files(run: Run, split: str, dataset: str) -> list[SourceFile]:
    """The files of a dataset.

    Raises:
        CorpusMissing: If the dataset, or a file that the spec names, does not exist.
        CorpusChanged: If the files differ from those with which the run started.
    """
    folder, sources = run.data_dir / dataset, run.spec.data.sources
    before = run.inputs.files(split)
    try:
        files = find_source_files(folder, sources=sources, rows=row_options(run.spec.data))
    except CorpusMissing as error:
        if not before:
            raise
        present = {shown_name(path.name) for path in folder.glob("*") if path.is_file()}
        changes = changed_files(before, {name: before[name] for name in present & before.keys()})
        raise _changed(run, dataset, changes) from error
    now = {file.name: run.cache.hashes.of(file.path) for file in files}
    if before and (changes := changed_files(before, now)):
        raise _changed(run, dataset, changes)
    run.inputs.record_files(split, now, with_files(read_origins(folder), now))
    _warn_of_files_left_out(run, folder)
    absent = missing_sources(files)
    if split == "train" and absent and sources is None:
        run.warn("source_missing", f"{dataset} has no {', '.join(absent)}")
    return files


def _warn_of_files_left_out(run: Run, folder: Path) -> None:
    _, left_out = scan_folder(folder)
    shown = [
        each
        for each in left_out
        if not each.name.startswith(".") and each.name not in DATASET_FILES
    ]
    if shown:
        listed = "; ".join(f"{each.name} {each.reason}" for each in shown[:SHOWN_FILES])
        more = f"; and {len(shown) - SHOWN_FILES} more" if len(shown) > SHOWN_FILES else ""
        run.warn("files_left_out", f"{folder.name} has files that are not used: {listed}{more}")


def _changed(run: Run, dataset: str, changes: str) -> CorpusChanged:
    return run.inputs.changed(
        f"the cleaned text of dataset {dataset} that this run began with is no longer in the "
        f"cache, and cannot be made again because the dataset has changed: {changes}"
    )


def _clean_split(
    run: Run, reporter: StageReporter, split: _RawSplit, *, done: int, total: int
) -> tuple[Split, bool]:
    entry = split.entry or _clean(run, reporter, split, done=done, total=total)
    report = CleanReport.model_validate_json((entry.path / "report.json").read_bytes())
    return Split(entry.path, entry.fingerprint, report), entry.cached


def _clean(
    run: Run, reporter: StageReporter, split: _RawSplit, *, done: int, total: int
) -> CacheEntry:
    begin, share = done / max(1, total), split.bytes / max(1, total)
    options = run.spec.data.clean
    key = clean_fingerprint(split.files, options, run.cache)
    if run.inputs.is_adopting:
        # A run of an older release continues with its own text as long as the cache has it.
        former = clean_fingerprint(split.files, options, run.cache, version=FORMER_CLEAN_VERSION)
        if run.cache.find("clean", former) is not None:
            key = former

    def build(folder: Path) -> None:
        clean_corpus(
            split.files,
            options=options,
            output=folder,
            progress=lambda part: reporter.progress(begin + share * part),
            should_stop=run.stop,
        )
        require_unchanged(split.files, options, run.cache, key)

    return run.inputs.take(f"clean/{split.name}", key, build)


def _deduplicate(
    run: Run, train: Split, validation: Split | None, mode: Mode
) -> tuple[Split, dict[str, Any], bool]:
    """The training text without duplicates, the counts, and whether the result was cached."""
    from core.corpus.duplicates import DUPLICATES_VERSION, deduplicate

    held_out = validation.files if validation else []
    key = fingerprint(
        "deduplicate",
        version=DUPLICATES_VERSION,
        parameters=mode,
        inputs=[train.fingerprint, validation.fingerprint if validation else ""],
    )

    def build(folder: Path) -> None:
        deduplicate(
            train.files,
            held_out,
            mode=mode,
            output=folder,
            should_stop=run.stop,
        )
        if mode != "report":
            recount(train.report, folder)

    entry = run.inputs.take("deduplicate", key, build)
    found: dict[str, Any] = json.loads((entry.path / "duplicates.json").read_bytes())
    if mode == "report":
        return train, found, entry.cached
    report = CleanReport.model_validate_json((entry.path / "report.json").read_bytes())
    return Split(entry.path, entry.fingerprint, report), found, entry.cached


def check_budget(spec: JobSpec, report: CleanReport) -> None:
    """Checks the word budget of the track.

    Raises:
        WordBudgetExceeded: If the text has more words than the track allows.
    """
    budget = TRACK_WORDS.get(spec.track)
    if budget is not None and report.words_out > budget:
        raise WordBudgetExceeded(
            f"{spec.data.dataset} has {report.words_out:,} words after cleaning; "
            f"track {spec.track} allows {budget:,}"
        )
