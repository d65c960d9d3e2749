"""The stages of a run, each taken from the cache where its result is known already.

Resuming is not a mode: finished stages are in the cache, and training goes on from the newest
whole checkpoint of its run folder.
"""

import json
import logging
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from core.cache import Cache, CacheEntry, fingerprint
from core.corpus.report import CleanReport, recount
from core.corpus.sources import SourceFile, find_source_files, missing_sources
from core.corpus.stage import clean_corpus, clean_fingerprint
from core.errors import TokenizerMissing, WordBudgetExceeded
from core.evaluation.tasks import require_tasks
from core.events import EventData, WarningData
from core.file_hashes import hash_file
from core.journal import JournalWriter
from core.plan import make_plan
from core.rundir import RunDir, publish_folder, remove_folder, remove_staging
from core.spec import TRACK_WORDS, JobSpec
from core.stages import StageReporter
from core.stop import StopSignal

log = logging.getLogger(__name__)

Mode = Literal["report", "exact", "near"]


@dataclass(frozen=True)
class Run:
    """One run and all that it works with."""

    spec: JobSpec
    rundir: RunDir
    data_dir: Path
    cache: Cache
    journal: JournalWriter
    stop: StopSignal

    def emit(self, data: EventData) -> None:
        """Writes an event into the journal."""
        self.journal.append(data)

    def warn(self, code: str, message: str) -> None:
        """Tells the user of something that does not stop the run."""
        log.warning("%s: %s", code, message)
        self.emit(WarningData(code=code, message=message))


@dataclass(frozen=True)
class Split:
    """The cleaned text of the training or of the validation data."""

    folder: Path
    fingerprint: str
    report: CleanReport

    @property
    def files(self) -> list[Path]:
        """The cleaned files, in order."""
        return sorted(self.folder.glob("*.txt"))


def run_pipeline(run: Run) -> None:
    """Takes the run from its spec to its last checkpoint.

    Raises:
        Stopped: If a stop was asked for, at the next safe point.
        RunError: If the run cannot go on.
    """
    remove_staging(run.rundir.root)
    reporter = StageReporter(run.emit)
    try:
        _require_tasks(run)
        train, validation = _clean(run, reporter)
        tokenizer, tokenizer_key = _tokenizer(run, reporter, train, validation)
        if run.spec.task == "tokenizer":
            return
        train_tokens = _tokenize(run, reporter, tokenizer, tokenizer_key, train, validation)
        _train(run, reporter, tokenizer, *train_tokens)
        _evaluate(run, reporter)
        _export(run, reporter, *train_tokens)
    finally:
        run.cache.release()


def _clean(run: Run, reporter: StageReporter) -> tuple[Split, Split | None]:
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


def _tokenizer(
    run: Run, reporter: StageReporter, train: Split, validation: Split | None
) -> tuple[Path, str]:
    """The run's own copy of its tokenizer, and the fingerprint of it."""
    from core.tokenizer.bpe import REPORT, TokenizerReport

    spec = run.spec.tokenizer
    with reporter.stage("tokenizer") as stage:
        if spec.from_job is None:
            source, key, stage.cached = _train_tokenizer(run, reporter, train)
        else:
            source, key = _tokenizer_of_job(run, spec.from_job)
            stage.cached = True
        report = TokenizerReport.model_validate_json((source / REPORT).read_bytes())
        stage.counts = report.model_dump(mode="json")
        if source != run.rundir.tokenizer:
            _copy_tokenizer(run, source)
        if validation is not None:
            stage.counts["validation"] = _measure_tokenizer(run, key, validation)
    if spec.from_job is None and report.vocab_size < spec.vocab_size:
        run.warn(
            "vocabulary_smaller",
            f"the text gives {report.vocab_size:,} entries, not {spec.vocab_size:,}; "
            "the model is built with what there is",
        )
    return run.rundir.tokenizer, key


def _train_tokenizer(run: Run, reporter: StageReporter, train: Split) -> tuple[Path, str, bool]:
    from core.tokenizer.bpe import TOKENIZER_VERSION, train_bpe

    spec = run.spec.tokenizer
    key = fingerprint(
        "tokenizer",
        version=TOKENIZER_VERSION,
        parameters=spec.model_dump(mode="json", include={"vocab_size", "min_frequency"}),
        inputs=[train.fingerprint],
    )

    def build(folder: Path) -> None:
        train_bpe(
            train.files,
            spec=spec,
            output=folder,
            progress=reporter.progress,
            should_stop=run.stop,
        )

    entry = run.cache.get("tokenizer", key, build)
    return entry.path, key, entry.cached


def _tokenizer_of_job(run: Run, job: str) -> tuple[Path, str]:
    """The finished tokenizer of another run, whose folder lies beside this one's.

    A run that has its copy already goes on with it when the other job is gone.
    """
    from core.tokenizer.bpe import REPORT
    from core.tokenizer.learning import TOKENIZER_FILE

    folders = [RunDir(run.rundir.root.parent / job).tokenizer, run.rundir.tokenizer]
    for folder in folders:
        if (folder / TOKENIZER_FILE).is_file() and (folder / REPORT).is_file():
            content = hash_file(folder / TOKENIZER_FILE)
            return folder, fingerprint("tokenizer", version=0, parameters={}, inputs=[content])
    raise TokenizerMissing(f"job {job} has no tokenizer: {folders[0]} is not there or not whole")


def _measure_tokenizer(run: Run, tokenizer_key: str, validation: Split) -> dict[str, Any]:
    """How the tokenizer fits the validation text; Any: JSON."""
    from core.tokenizer.statistics import STATISTICS_VERSION, write_statistics

    key = fingerprint(
        "statistics",
        version=STATISTICS_VERSION,
        parameters={},
        inputs=[tokenizer_key, validation.fingerprint],
    )
    entry = run.cache.get(
        "statistics",
        key,
        lambda folder: write_statistics(run.rundir.tokenizer, validation.files, folder),
    )
    counts: dict[str, Any] = json.loads((entry.path / "statistics.json").read_bytes())
    return counts


def _copy_tokenizer(run: Run, source: Path) -> None:
    """Gives the run folder its own copy, so that it is whole without cache and other jobs."""
    remove_folder(run.rundir.tokenizer)
    publish_folder(
        run.rundir.tokenizer,
        lambda folder: _discard(shutil.copytree(source, folder, dirs_exist_ok=True)),
    )


def _discard(value: object) -> None:
    del value


def _tokenize(
    run: Run,
    reporter: StageReporter,
    tokenizer: Path,
    tokenizer_key: str,
    train: Split,
    validation: Split | None,
) -> tuple[Path, Path | None]:
    from core.dataset.encode import ENCODE_VERSION, encode_split
    from core.dataset.tokens import TokenFile

    splits = [train] if validation is None else [train, validation]
    sizes = [split.report.bytes_out for split in splits]
    entries: list[CacheEntry] = []
    with reporter.stage("tokenize") as stage:
        for index, split in enumerate(splits):
            begin, share = sum(sizes[:index]) / sum(sizes), sizes[index] / sum(sizes)

            def advance(part: float, begin: float = begin, share: float = share) -> None:
                reporter.progress(begin + share * part)

            def build(folder: Path, split: Split = split) -> None:
                encode_split(
                    split.files,
                    tokenizer=tokenizer,
                    output=folder,
                    progress=advance,
                    should_stop=run.stop,
                )

            key = fingerprint(
                "tokenize",
                version=ENCODE_VERSION,
                parameters={},
                inputs=[tokenizer_key, split.fingerprint],
            )
            entries.append(run.cache.get("tokenize", key, build))
            tokens = TokenFile.open(entries[-1].path)
            stage.counts["validation" if index else "train"] = {
                "tokens": tokens.num_tokens,
                "words": tokens.num_words,
                "documents": tokens.num_documents,
                "bytes": tokens.num_bytes,
            }
        stage.cached = all(entry.cached for entry in entries)
    return entries[0].path, entries[1].path if validation is not None else None


def _train(
    run: Run, reporter: StageReporter, tokenizer: Path, train: Path, validation: Path | None
) -> None:
    from core.dataset.tokens import TokenFile
    from core.training.loop import train_model

    tokens = TokenFile.open(train)
    plan = make_plan(run.spec.training, num_tokens=tokens.num_tokens)
    train_model(
        spec=run.spec,
        plan=plan,
        rundir=run.rundir,
        train=tokens,
        validation=TokenFile.open(validation) if validation is not None else None,
        tokenizer=tokenizer,
        emit=run.emit,
        sync_journal=run.journal.sync,
        stop=run.stop,
        reporter=reporter,
        compile_cache=run.cache.root / "compile",
    )


def _require_tasks(run: Run) -> None:
    """Refuses a run that could not be judged, before hours of training."""
    if run.spec.task == "model" and run.spec.evaluation.tasks:
        require_tasks(run.data_dir, run.spec.evaluation.tasks)


def _evaluate(run: Run, reporter: StageReporter) -> None:
    if not run.spec.evaluation.tasks:
        return
    from core.evaluation.stage import evaluate_checkpoints

    with reporter.stage("evaluate") as stage:
        stage.counts = evaluate_checkpoints(
            spec=run.spec,
            rundir=run.rundir,
            data_dir=run.data_dir,
            emit=run.emit,
            should_stop=run.stop,
            progress=reporter.progress,
        )


def _export(run: Run, reporter: StageReporter, train: Path, validation: Path | None) -> None:
    from core.dataset.tokens import TokenFile
    from core.export import check_export

    with reporter.stage("export") as stage:
        stage.counts = check_export(
            rundir=run.rundir,
            tokens=TokenFile.open(validation or train),
            seq_length=run.spec.training.seq_length,
            emit=run.emit,
            warn=run.warn,
        )
