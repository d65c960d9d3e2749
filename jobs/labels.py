"""The labels of a job, which users can change: name, tags, notes, archived and pinned."""

import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Text, cast
from sqlmodel import Session, col

from jobs.store import get_job
from jobs.tables import Job

LABELS = ("name", "tags", "notes", "archived", "pinned")


def update_labels(session: Session, job_id: str, **labels: Any) -> Job:  # labels differ in type
    """Changes the given labels, see `LABELS`; a new name does not change the name in the spec.

    Raises:
        JobNotFound: If there is no such job.
    """
    assert set(labels) <= set(LABELS)
    job = get_job(session, job_id)
    for name, value in labels.items():
        setattr(job, name, value)
    session.add(job)
    session.flush()
    return job


def has_tags(tags: Sequence[str]) -> list[ColumnElement[bool]]:
    """Conditions for jobs that have all of the tags.

    They search the JSON text, which works on every database: tags contain no characters that JSON
    escapes, so a quoted tag matches exactly.
    """
    text = cast(col(Job.tags), Text)
    return [text.contains(json.dumps(tag), autoescape=True) for tag in tags]
