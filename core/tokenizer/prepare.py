"""The stage `tokenizer`: trains the tokenizer, or copies an existing one into the run folder.

An existing tokenizer comes from the cache, from a file, from another job, or with initial weights.
"""

import json
import shutil
from pathlib import Path
from typing import Any

from core.corpus.split import Split
from core.errors import TokenizerMissing
from core.stages.context import Run
from core.stages.reporter import StageReporter
from core.storage.cache import fingerprint
from core.storage.file_hashes import hash_file
from core.storage.inputs import OwnTokenizer
from core.storage.model_files import TOKENIZER_FILE
from core.storage.rundir import RunDir, publish_folder, remove_folder
from core.tokenizer.bpe import TOKENIZER_VERSION, save_existing, train_bpe
from core.tokenizer.existing import read_existing
from core.tokenizer.report import REPORT, TokenizerReport
from core.tokenizer.statistics import STATISTICS_VERSION, write_statistics


def prepare_tokenizer(
    run: Run, reporter: StageReporter, train: Split, validation: Split | None
) -> tuple[Path, str]:
    """The folder of the run's own copy of the tokenizer, and the fingerprint of the tokenizer."""
    spec = run.spec.tokenizer
    with reporter.stage("tokenizer") as stage:
        stage.cached = True
        own = run.inputs.tokenizer
        if own is not None and _content(run.rundir.tokenizer) == own.sha256:
            source, key = run.rundir.tokenizer, own.fingerprint
        elif run.spec.init_from.is_set:
            source = run.rundir.initial_tokenizer
            key = _key_of(hash_file(source / TOKENIZER_FILE))
        elif spec.path is not None:
            source, key, stage.cached = _existing_tokenizer(run, spec.path)
        elif spec.from_job is None:
            source, key, stage.cached = _train_tokenizer(run, reporter, train)
        else:
            source, key = _tokenizer_of_job(run, spec.from_job)
        report = TokenizerReport.model_validate_json((source / REPORT).read_bytes())
        stage.counts = report.model_dump(mode="json")
        if source != run.rundir.tokenizer:
            _copy_tokenizer(run, source)
        content = hash_file(run.rundir.tokenizer / TOKENIZER_FILE)
        run.inputs.record_tokenizer(OwnTokenizer(fingerprint=key, sha256=content))
        if validation is not None:
            stage.counts["validation"] = _measure_tokenizer(run, key, validation)
    is_given = spec.from_job is not None or spec.path is not None or run.spec.init_from.is_set
    if not is_given and report.vocab_size < spec.vocab_size:
        run.warn(
            "vocabulary_smaller",
            f"the text gives {report.vocab_size:,} entries, not {spec.vocab_size:,}; "
            "the model is built with the smaller vocabulary",
        )
    return run.rundir.tokenizer, key


def _train_tokenizer(run: Run, reporter: StageReporter, train: Split) -> tuple[Path, str, bool]:
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

    entry = run.inputs.take("tokenizer", key, build)
    return entry.path, entry.fingerprint, entry.cached


def _existing_tokenizer(run: Run, path: str) -> tuple[Path, str, bool]:
    """The tokenizer of a file, converted.

    The run reads the file again only if the cache no longer has the converted tokenizer.
    """
    entry = run.inputs.find("tokenizer")
    if entry is None:
        existing = read_existing(run.data_dir / path)
        key = fingerprint("tokenizer", version=0, parameters={}, inputs=[existing.content])
        entry = run.inputs.take("tokenizer", key, lambda folder: save_existing(existing, folder))
    return entry.path, entry.fingerprint, entry.cached


def _tokenizer_of_job(run: Run, job: str) -> tuple[Path, str]:
    """The finished tokenizer of another run in the same folder of runs.

    A run that already has a copy uses the copy if the other job is deleted. A run that has trained
    weights with its copy always uses the copy.
    """
    folders = [RunDir(run.rundir.root.parent / job).tokenizer, run.rundir.tokenizer]
    for folder in reversed(folders) if run.inputs.has_trained else folders:
        if (content := _content(folder)) is not None:
            return folder, _key_of(content)
    raise TokenizerMissing(f"job {job} has no tokenizer: {folders[0]} is missing or incomplete")


def _key_of(content: str) -> str:
    """The fingerprint of a tokenizer that this run did not train."""
    return fingerprint("tokenizer", version=0, parameters={}, inputs=[content])


def _measure_tokenizer(run: Run, tokenizer_key: str, validation: Split) -> dict[str, Any]:
    """Statistics of how the tokenizer fits the validation text, as JSON."""
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
        waiting=run.inputs.waiting,
    )
    counts: dict[str, Any] = json.loads((entry.path / "statistics.json").read_bytes())
    return counts


def _copy_tokenizer(run: Run, source: Path) -> None:
    """Copies the tokenizer into the run folder, so that the run needs no cache and no other job.

    Raises:
        CorpusChanged: If the weights of the run belong to another tokenizer.
    """
    own, new = _content(run.rundir.tokenizer), _content(source)
    recorded = run.inputs.tokenizer
    expected = recorded.sha256 if recorded is not None else own
    if run.inputs.has_trained and expected is not None and new != expected:
        raise run.inputs.changed(
            "the tokenizer of this run has changed: the weights belong to the tokenizer with "
            f"SHA-256 {expected}, but the stage now gives the tokenizer with SHA-256 {new}"
        )
    if own == new:
        return
    remove_folder(run.rundir.tokenizer)
    publish_folder(
        run.rundir.tokenizer,
        lambda folder: _discard(shutil.copytree(source, folder, dirs_exist_ok=True)),
    )


def _content(folder: Path) -> str | None:
    """SHA-256 of a tokenizer; None if it is missing or incomplete."""
    if not (folder / TOKENIZER_FILE).is_file() or not (folder / REPORT).is_file():
        return None
    return hash_file(folder / TOKENIZER_FILE)


def _discard(value: object) -> None:
    del value
