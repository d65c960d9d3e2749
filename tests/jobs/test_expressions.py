"""SQL expressions that SQLite and Postgres write differently."""

from datetime import timedelta

import pytest
from sqlalchemy import BigInteger, String
from sqlmodel import col, select

from jobs.clock import database_time
from jobs.expressions import SecondsAgo, is_one_of
from jobs.tables import JobEvent


@pytest.mark.parametrize(("seconds", "is_found"), [(3500.0, False), (1e6, True)])
def test_a_time_is_compared_with_the_clock_of_the_database(database, new_job, seconds, is_found):
    job = new_job()
    with database.write() as session:
        session.get(JobEvent, (job, 1)).time = database_time(session) - timedelta(hours=1)
    query = select(JobEvent.seq).where(col(JobEvent.time) > SecondsAgo(seconds))
    with database.read() as session:
        assert list(session.exec(query)) == ([1] if is_found else [])


@pytest.mark.parametrize("wanted", [[], [2], [3, 1, 3, 9], list(range(500))])
def test_rows_are_selected_by_a_list_of_numbers(database, new_job, wanted):
    job = new_job()
    _add_events(database, job, 4)
    query = select(JobEvent.seq).where(
        JobEvent.job_id == job, is_one_of(col(JobEvent.seq), "wanted", BigInteger)
    )
    with database.read() as session:
        found = session.exec(query, params={"wanted": wanted})
        assert sorted(found) == sorted({1, 2, 3, 4} & set(wanted))


@pytest.mark.parametrize("wanted", [[], ["status"], ["log", "status", 'a"b,c\\', "é"]])
def test_rows_are_selected_by_a_list_of_texts(database, new_job, wanted):
    job = new_job()
    query = select(JobEvent.seq).where(
        JobEvent.job_id == job, is_one_of(col(JobEvent.type), "wanted", String)
    )
    with database.read() as session:
        found = session.exec(query, params={"wanted": wanted})
        assert list(found) == ([1] if "status" in wanted else [])


def _add_events(database, job, last):
    with database.write() as session:
        first = session.get(JobEvent, (job, 1))
        for seq in range(2, last + 1):
            session.add(JobEvent(job_id=job, seq=seq, time=first.time, type="log", data={}))
