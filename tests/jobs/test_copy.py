"""All rows are copied to another store and back; a target with rows is refused."""

import os

import pytest
from sqlalchemy import select

from core.events.types import CheckpointData, MetricsData, event_of
from jobs.attempts import claim_next, finish, record_events
from jobs.copy import SKIPPED, copy_database
from jobs.database import Database, make_engine, upgrade
from jobs.errors import CopyRefused
from jobs.placements import begin_placement
from jobs.store import create_job
from jobs.tables import Table
from tests.jobs.conftest import SPEC
from tests.postgres import URL, postgres_database


def rows_of(url: str) -> dict[str, list]:
    engine = make_engine(url)
    with engine.connect() as connection:
        found = {
            table.name: sorted(map(repr, connection.execute(select(table)).all()))
            for table in Table.metadata.sorted_tables
            if table.name not in SKIPPED
        }
    engine.dispose()
    return found


def fill(url: str) -> None:
    database = Database(url)
    with database.write() as session:
        for _ in range(3):
            job_id = create_job(session, SPEC, idempotency_key=None)[0].id
        begin_placement(session, job_id, 1)
        job = claim_next(session, "worker")
        measured = MetricsData(
            step=1, epoch=0.1, tokens_seen=1, words_seen=1, values={"a/b": 1.5, "a/c": None}
        )
        saved = CheckpointData(
            action="saved", name="last", kind="last", step=1, tokens_seen=1, words_seen=1, files=[]
        )
        events = [event_of(measured), event_of(saved)]
        record_events(session, job.id, 1, events, journal_offset=1 << 40)
        finish(session, job.id, 1, "succeeded")
    database.dispose()


def test_sqlite_to_another_store_and_back_keeps_every_row(tmp_path):
    first, last = (f"sqlite:///{tmp_path / name}.sqlite3" for name in ("first", "last"))
    upgrade(first)
    fill(first)
    if URL in os.environ:
        with postgres_database(os.environ[URL], migrated=False) as middle:
            counts = copy_database(first, middle)
            copy_database(middle, last)
    else:
        counts = copy_database(first, last)
    assert (counts["job"], counts["metric"], counts["placement"]) == (3, 2, 1)
    assert rows_of(last) == rows_of(first)


def test_a_target_with_rows_and_a_source_in_use_are_refused(tmp_path, url, database, new_job):
    other = f"sqlite:///{tmp_path / 'other.sqlite3'}"
    upgrade(other)
    fill(other)
    new_job()
    with pytest.raises(CopyRefused, match="already holds rows in job"):
        copy_database(url, other)
    with database.write() as session:
        claim_next(session, "worker")
    empty = f"sqlite:///{tmp_path / 'empty.sqlite3'}"
    with pytest.raises(CopyRefused, match="1 jobs are running"):
        copy_database(url, empty)
    assert rows_of(empty)["job"] == []
