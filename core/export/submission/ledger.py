"""The budget ledger of a job: its words by source, and whether it keeps the rules of its track.

The rules are those of the BabyLM guidelines of 2025 and 2026. Words are separated by white space
and counted in the cleaned text, which training and the tokenizer read. No torch.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from core.export.submission.origins import origin_of
from core.spec.job import TRACK_MAX_EPOCHS, TRACK_WORDS, JobSpec
from core.storage.inputs import InputRecord
from core.storage.rundir import RunDir

HELD_OUT_SUFFIXES = (".dev", ".test")


class Entry(BaseModel):
    """A part of a ledger."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class SourceWords(Entry):
    """One file of the training text."""

    source: str
    words_before: int | None
    """Before cleaning; null for a job that was cleaned by a version that did not record it."""
    words: int
    origin: str
    licence: str


class Rule(Entry):
    """A rule of the challenge; `holds` is null if it cannot be decided yet."""

    name: Literal["word_budget", "epochs", "words_seen", "tokenizer_corpus", "held_out_text"]
    holds: bool | None
    detail: str


class Ledger(Entry):
    """Words by source and the rules."""

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
    record = read_record(rundir)
    sources = [
        SourceWords(
            source=stem,
            words_before=found.get("words_in"),
            words=found["words"],
            origin=origin_of(stem, spec.data.dataset).origin,
            licence=origin_of(stem, spec.data.dataset).licence,
        )
        for stem, found in train.get("sources", {}).items()
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


def read_record(rundir: RunDir) -> InputRecord | None:
    """The recorded inputs of a run; None if there is no record that this version can read."""
    try:
        return InputRecord.model_validate(json.loads(rundir.inputs.read_bytes()))
    except (OSError, ValueError, ValidationError):
        return None


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
    other = spec.tokenizer.from_job
    if other is None:
        detail = "the tokenizer is trained on the cleaned training text"
        return Rule(name="tokenizer_corpus", holds=True, detail=detail)
    theirs = read_record(RunDir(Path(rundir.root).parent / other))
    known = None if record is None or theirs is None else (_files(record), _files(theirs))
    if known is None or not all(known):
        detail = f"the files that the tokenizer of job {other[:8]} was trained on are not known"
        return Rule(name="tokenizer_corpus", holds=None, detail=detail)
    ours, used = known
    foreign = sorted(name for name, digest in used.items() if digest not in ours.values())
    detail = f"the tokenizer of job {other[:8]} was trained on "
    detail += f"text outside: {', '.join(foreign)}" if foreign else "files of the training text"
    return Rule(name="tokenizer_corpus", holds=not foreign, detail=detail)


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
