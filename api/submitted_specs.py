"""Checks the specs of training jobs. Every route that creates such jobs calls these functions."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from sqlmodel import Session

from api.corpus import check_corpus, check_tasks, check_tokenizer, retry_if_removed
from api.tokenizer_files import with_existing_tokenizer
from api.warm_start import check_init_from
from core.spec.job import JobSpec
from core.spec.machines import require_possible
from jobs.settings import Settings


def complete_specs(specs: Sequence[JobSpec], data_dir: Path) -> list[JobSpec]:
    """Adds the vocabulary sizes of existing tokenizers to resolved specs; refuses invalid specs.

    Reads text and evaluation files, which takes time, so the caller must not hold a write
    transaction. Equal sections of several specs are checked once.

    Raises:
        SpecInvalid: If no machine can train a spec.
        Problem: 422 if the text, a task or the tokenizer of a spec does not exist.
    """
    tokenizers = {
        _key(spec, "tokenizer"): with_existing_tokenizer(spec, data_dir).tokenizer
        for spec in _distinct(specs, "tokenizer")
    }
    completed = [
        spec.model_copy(update={"tokenizer": tokenizers[_key(spec, "tokenizer")]}) for spec in specs
    ]
    for spec in completed:
        require_possible(spec)
    for spec in _distinct(completed, "data"):
        retry_if_removed(partial(check_corpus, spec, data_dir))
    for spec in _distinct(completed, "evaluation"):
        check_tasks(spec, data_dir)
    return completed


def check_sources(session: Session, specs: Sequence[JobSpec], settings: Settings) -> None:
    """Refuses specs whose initial weights do not fit, or whose tokenizer will never exist.

    The initial weights must exist and belong to the same model. A job that provides the tokenizer
    must have one, or must not have ended.

    Pass the session of the transaction that creates the jobs, so that the other job cannot be
    deleted between the check and the creation.

    Raises:
        Problem: 422; the error names the field.
    """
    for spec in _distinct(specs, "init_from", "tokenizer", "model"):
        check_init_from(session, spec, settings)
        check_tokenizer(session, spec)


def _distinct(specs: Sequence[JobSpec], *sections: str) -> list[JobSpec]:
    """The first spec with each value of these sections."""
    found: dict[str, JobSpec] = {}
    for spec in specs:
        found.setdefault(_key(spec, *sections), spec)
    return list(found.values())


def _key(spec: JobSpec, *sections: str) -> str:
    return spec.model_dump_json(include=set(sections))
