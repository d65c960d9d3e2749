"""The positions of jobs in the queue, read through the index."""

import random

import pytest

from jobs.attempts import claim_next
from jobs.positions import queue_positions
from jobs.resources import Offer
from jobs.store import get_job
from tests.statements import statements


def positions(database, *job_ids: str) -> dict[str, int]:
    with database.read() as session:
        return queue_positions(session, [get_job(session, each) for each in job_ids])


def test_positions_match_the_order_in_which_jobs_are_claimed(database, new_job):
    dice = random.Random(17)
    job_ids = [new_job(priority=dice.choice((-1, 0, 0, 0, 5))) for _ in range(40)]
    pages = [dice.sample(job_ids, size) for size in (1, 1, 2, 5, 40)]
    pages.append([each for each in job_ids if priority_of(database, each) == 0][3:9:2])
    found = [positions(database, *page) for page in pages]
    claimed = []
    for _ in job_ids:
        with database.write() as session:
            claimed.append(claim_next(session, "worker", Offer()).id)
    place = {job_id: number for number, job_id in enumerate(claimed, 1)}
    assert found == [{job_id: place[job_id] for job_id in page} for page in pages]
    assert positions(database) == {}


def test_neither_the_claim_nor_the_positions_sort_the_queue(database, new_job, store):
    if store != "sqlite":
        pytest.skip("Postgres chooses another plan for a table of two rows")
    job_ids = [new_job() for _ in range(2)]
    with statements(database.engine) as seen:
        positions(database, *job_ids)
        with database.write() as session:
            claim_next(session, "worker", Offer())
    queries = [each for each in seen if "ORDER BY" in each[0]]
    assert len(queries) == 2
    with database.read() as session:
        rows = session.connection().exec_driver_sql
        plans = [str(rows(f"EXPLAIN QUERY PLAN {sql}", given).all()) for sql, given in queries]
    for plan in plans:
        assert "ix_job_queue" in plan
        assert "TEMP B-TREE" not in plan


def priority_of(database, job_id: str) -> int:
    with database.read() as session:
        return get_job(session, job_id).priority
