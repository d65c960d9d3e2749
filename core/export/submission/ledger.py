"""The budget ledger of a job: its number of words for each source, and the rules of its track.

The rules are those of the BabyLM guidelines of 2025 and 2026. Words are separated by white space
and counted in the cleaned text, which training and the tokenizer read. No torch.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from core.export.submission.origins import origin_of
from core.spec.job import TRACK_MAX_EPOCHS, TRACK_WORDS, JobSpec
from core.spec.stored import read_stored_spec
from core.storage.inputs import InputRecord, read_record
from core.storage.rundir import RunDir

HELD_OUT_SUFFIXES = (".dev", ".test")


class Entry(BaseModel):
    """A part of a ledger."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class SourceWords(Entry):
    """One file of the training text."""

    source: str
    words_before: int | None
    """Number of words before cleaning; null if the text was cleaned by an older version of the
    service that did not record the number."""
    words: int
    origin: str
    licence: str


class Rule(Entry):
    """A rule of the challenge; `holds` is null if the service does not know whether it holds."""

    name: Literal["word_budget", "epochs", "words_seen", "tokenizer_corpus", "held_out_text"]
    holds: bool | None
    detail: str


class Ledger(Entry):
    """The words of each source, and the rules of the track."""

    track: str
    dataset: str
    word_budget: int | None
    words_before: int | None
    words: int | None
    words_seen: int
    sources: list[SourceWords]
    rules: list[Rule]


def budget_ledger(
    spec: JobSpec, *, rundir: RunDir, counts: Mapping[str, Any] | None, words_seen: int
) -> Ledger:
    """The ledger of a job.

    Args:
        spec: The resolved spec.
        rundir: The run folder of the job. If the job uses the tokenizer of another job, the run
            folder of that job is in the same folder.
        counts: Counts of the stage `clean` as JSON; None if the stage has not finished.
        words_seen: Words that training has read, repetitions included.
    """
    train = (counts or {}).get("train", {})
    words = train.get("words")
    record = read_record(rundir.inputs)
    sources = [
        SourceWords(
            source=stem,
            words_before=found.get("words_in"),
            words=found["words"],
            origin=origin.origin,
            licence=origin.licence,
        )
        for stem, found in train.get("sources", {}).items()
        for origin in [origin_of(stem, spec.data.dataset, record)]
    ]
    return Ledger(
        track=spec.track,
        dataset=spec.data.dataset,
        word_budget=TRACK_WORDS.get(spec.track),
        words_before=train.get("words_in"),
        words=words,
        words_seen=words_seen,
        sources=sources,
        rules=[
            *_budget_rules(spec, words, words_seen),
            _tokenizer_rule(spec, rundir, record),
            _held_out_rule(spec, record),
        ],
    )


def _budget_rules(spec: JobSpec, words: int | None, words_seen: int) -> list[Rule]:
    budget = TRACK_WORDS.get(spec.track)
    if budget is None:
        return []
    epochs, longest = spec.training.epochs, budget * TRACK_MAX_EPOCHS
    counted = "the text is not cleaned yet" if words is None else f"{words:,} words"
    return [
        Rule(
            name="word_budget",
            holds=None if words is None else words <= budget,
            detail=f"{counted}; {spec.track} allows {budget:,}",
        ),
        Rule(
            name="epochs",
            holds=epochs <= TRACK_MAX_EPOCHS,
            detail=f"{epochs:g} epochs; {TRACK_MAX_EPOCHS} are allowed",
        ),
        Rule(
            name="words_seen",
            holds=words_seen <= longest,
            detail=f"{words_seen:,} words were read; {longest:,} are allowed",
        ),
    ]


def _tokenizer_rule(spec: JobSpec, rundir: RunDir, record: InputRecord | None) -> Rule:
    """The rule that the tokenizer, too, is trained only on files of the training text."""
    jobs_dir = Path(rundir.root).parent
    other, trainer = _tokenizer_trainer(spec, jobs_dir)
    if trainer is not None and (trainer.tokenizer.path or trainer.init_from.path):
        detail = "the text that the given tokenizer was trained on is not known"
        return Rule(name="tokenizer_corpus", holds=None, detail=detail)
    if other is None:
        detail = "the tokenizer is trained on the cleaned training text"
        return Rule(name="tokenizer_corpus", holds=True, detail=detail)
    theirs = None if trainer is None else read_record(RunDir(jobs_dir / other).inputs)
    known = None if record is None or theirs is None else (_files(record), _files(theirs))
    if known is None or not all(known):
        detail = f"the files that the tokenizer of job {other[:8]} was trained on are not known"
        return Rule(name="tokenizer_corpus", holds=None, detail=detail)
    ours, used = known
    foreign = sorted(name for name, digest in used.items() if digest not in ours.values())
    detail = f"the tokenizer of job {other[:8]} was trained on "
    detail += (
        f"files that are not in the training text: {', '.join(foreign)}"
        if foreign
        else "files of the training text"
    )
    return Rule(name="tokenizer_corpus", holds=not foreign, detail=detail)


def _tokenizer_trainer(spec: JobSpec, jobs_dir: Path) -> tuple[str | None, JobSpec | None]:
    """Finds the job that made the tokenizer; returns its id and its spec.

    Follows `tokenizer.from_job` from job to job. If the job of `spec` made its own tokenizer, the
    id is None and the spec is `spec`. The returned spec is None if it cannot be read.
    """
    job: str | None = None
    followed: set[str] = set()
    while (other := spec.tokenizer.from_job) is not None:
        job = other
        try:
            content = RunDir(jobs_dir / other).spec.read_bytes()
            spec = read_stored_spec(content)
        except (OSError, ValidationError):
            return job, None
        if job in followed:  # only edited specs can form a cycle
            return job, None
        followed.add(job)
    return job, spec


def _held_out_rule(spec: JobSpec, record: InputRecord | None) -> Rule:
    """The rule that no training file is development or test text, by its name or its content."""
    if record is None or not _files(record):
        detail = "the files of the training text are not recorded yet"
        return Rule(name="held_out_text", holds=None, detail=detail)
    train, validation = _files(record), record.files.get("validation", {})
    leaked = sorted(
        name
        for name, digest in train.items()
        if digest in validation.values() or name.endswith(HELD_OUT_SUFFIXES)
    )
    if leaked:
        detail = f"training text that is development or test text: {', '.join(leaked)}"
    else:
        held_out = spec.data.validation or "none"
        detail = f"no file is development or test text (validation text: {held_out})"
    return Rule(name="held_out_text", holds=not leaked, detail=detail)


def _files(record: InputRecord) -> dict[str, str]:
    return record.files.get("train", {})
