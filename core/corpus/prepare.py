"""The stage `clean`: from the files of a dataset to the splits of a run, by way of the cache."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from core.context import Run
from core.corpus.report import CleanReport, recount
from core.corpus.sources import SourceFile, find_source_files, missing_sources
from core.corpus.split import Split
from core.corpus.stage import clean_corpus, clean_fingerprint
from core.errors import WordBudgetExceeded
from core.spec.job import TRACK_WORDS, JobSpec
from core.stages import StageReporter
from core.storage.cache import fingerprint

Mode = Literal["report", "exact", "near"]


def clean_splits(run: Run, reporter: StageReporter) -> tuple[Split, Split | None]:
    """The cleaned training text and, where the spec names one, the validation text.

    Raises:
        RunError: If a file is missing, empty or not UTF-8, or the track allows fewer words.
    """
    data = run.spec.data
    with reporter.stage("clean") as stage:
        train_files = find_source_files(run.data_dir / data.dataset, sources=data.sources)
        validation_files = (
            find_source_files(run.data_dir / data.validation, sources=data.sources)
            if data.validation
            else []
        )
        absent = missing_sources(train_files)
        if absent and data.sources is None:
            run.warn("source_missing", f"{data.dataset} has no {', '.join(absent)}")
        total = sum(file.bytes for file in [*train_files, *validation_files])
        train, train_cached = _clean_split(run, reporter, train_files, done=0, total=total)
        validation, cached = None, True
        if validation_files:
            done = sum(file.bytes for file in train_files)
            validation, cached = _clean_split(
                run, reporter, validation_files, done=done, total=total
            )
        stage.cached = train_cached and cached
        stage.counts = {"train": train.report.counts()}
        if validation is not None:
            stage.counts["validation"] = validation.report.counts()
        if data.deduplicate != "none":
            train, found, cached = _deduplicate(run, train, validation, data.deduplicate)
            stage.counts["train"] = train.report.counts()
            stage.counts["duplicates"] = found
            stage.cached &= cached
    check_budget(run.spec, train.report)
    return train, validation


def _clean_split(
    run: Run, reporter: StageReporter, files: Sequence[SourceFile], *, done: int, total: int
) -> tuple[Split, bool]:
    share = sum(file.bytes for file in files) / max(1, total)
    begin = done / max(1, total)
    options = run.spec.data.clean
    key = clean_fingerprint(files, options, run.cache)

    def build(folder: Path) -> None:
        clean_corpus(
            files,
            options=options,
            output=folder,
            progress=lambda part: reporter.progress(begin + share * part),
            should_stop=run.stop,
        )

    entry = run.cache.get("clean", key, build)
    report = CleanReport.model_validate_json((entry.path / "report.json").read_bytes())
    return Split(entry.path, key, report), entry.cached


def _deduplicate(
    run: Run, train: Split, validation: Split | None, mode: Mode
) -> tuple[Split, dict[str, Any], bool]:
    """The training text without its duplicates, what was found, and whether it was cached."""
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

    entry = run.cache.get("deduplicate", key, build)
    found: dict[str, Any] = json.loads((entry.path / "duplicates.json").read_bytes())
    if mode == "report":
        return train, found, entry.cached
    report = CleanReport.model_validate_json((entry.path / "report.json").read_bytes())
    return Split(entry.path, key, report), found, entry.cached


def check_budget(spec: JobSpec, report: CleanReport) -> None:
    """Holds the training text to the words that the track allows.

    Raises:
        WordBudgetExceeded: If it has more.
    """
    budget = TRACK_WORDS.get(spec.track)
    if budget is not None and report.words_out > budget:
        raise WordBudgetExceeded(
            f"{spec.data.dataset} has {report.words_out:,} words after cleaning; "
            f"track {spec.track} allows {budget:,}"
        )
