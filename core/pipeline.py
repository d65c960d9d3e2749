"""The stages of a run, each taken from the cache where its result is known already.

Resuming is not a mode: finished stages are in the cache, and training goes on from the newest
whole checkpoint of its run folder.
"""

import logging
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from core.cache import Cache, CacheEntry, fingerprint, hash_file
from core.corpus.report import CleanReport
from core.corpus.sources import SourceFile, find_source_files, missing_sources
from core.corpus.stage import CLEAN_VERSION, clean_corpus
from core.errors import WordBudgetExceeded
from core.events import EventData, WarningData
from core.journal import JournalWriter
from core.plan import make_plan
from core.rundir import RunDir, publish_folder, remove_folder, remove_staging
from core.spec import TRACK_WORDS, JobSpec
from core.stages import StageReporter
from core.stop import StopSignal

log = logging.getLogger(__name__)


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
    train, validation = _clean(run, reporter)
    tokenizer, tokenizer_key = _tokenizer(run, reporter, train)
    train_tokens = _tokenize(run, reporter, tokenizer, tokenizer_key, train, validation)
    _train(run, reporter, tokenizer, *train_tokens)


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
    _check_budget(run, train.report)
    return train, validation


def _clean_split(
    run: Run, reporter: StageReporter, files: Sequence[SourceFile], *, done: int, total: int
) -> tuple[Split, bool]:
    share = sum(file.bytes for file in files) / max(1, total)
    begin = done / max(1, total)
    options = run.spec.data.clean
    key = fingerprint(
        "clean",
        version=CLEAN_VERSION,
        parameters=options.model_dump(mode="json"),
        inputs=[f"{file.source}:{file.stem}:{hash_file(file.path)}" for file in files],
    )

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


def _check_budget(run: Run, report: CleanReport) -> None:
    budget = TRACK_WORDS.get(run.spec.track)
    if budget is not None and report.words_out > budget:
        raise WordBudgetExceeded(
            f"{run.spec.data.dataset} has {report.words_out:,} words after cleaning; "
            f"track {run.spec.track} allows {budget:,}"
        )


def _tokenizer(run: Run, reporter: StageReporter, train: Split) -> tuple[Path, str]:
    from core.tokenizer.bpe import TOKENIZER_VERSION, TokenizerReport, train_bpe

    spec = run.spec.tokenizer
    key = fingerprint(
        "tokenizer",
        version=TOKENIZER_VERSION,
        parameters=spec.model_dump(mode="json"),
        inputs=[train.fingerprint],
    )
    with reporter.stage("tokenizer") as stage:
        entry = run.cache.get(
            "tokenizer",
            key,
            lambda folder: _discard(
                train_bpe(
                    train.files,
                    spec=spec,
                    output=folder,
                    progress=reporter.progress,
                    should_stop=run.stop,
                )
            ),
        )
        report = TokenizerReport.model_validate_json((entry.path / "report.json").read_bytes())
        stage.cached = entry.cached
        stage.counts = report.model_dump(mode="json")
    if report.vocab_size < spec.vocab_size:
        run.warn(
            "vocabulary_smaller",
            f"the text gives {report.vocab_size:,} entries, not {spec.vocab_size:,}; "
            "the model is built with what there is",
        )
    _copy_tokenizer(run, entry)
    return run.rundir.tokenizer, key


def _copy_tokenizer(run: Run, entry: CacheEntry) -> None:
    """Gives the run folder its own copy, so that it is whole without the cache."""
    remove_folder(run.rundir.tokenizer)
    publish_folder(
        run.rundir.tokenizer,
        lambda folder: _discard(shutil.copytree(entry.path, folder, dirs_exist_ok=True)),
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
