"""The sweep requeues jobs without heartbeats. It measures their leases by its own clock."""

import pytest
from sqlalchemy.exc import SQLAlchemyError

from jobs.attempts import claim_next, heartbeat
from jobs.recovery import Sweeper


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def claimed(database):
    with database.write() as session:
        return claim_next(session, "worker")


def test_a_job_without_a_heartbeat_for_the_lease_is_reaped(database, new_job, job_of):
    new_job()
    job, clock = claimed(database), Clock()
    sweeper = Sweeper(database, notifier=None, lease_seconds=15.0, clock=clock)
    assert sweeper.reap() == []
    clock.now += 14.0
    assert sweeper.reap() == []
    clock.now += 1.5
    assert sweeper.reap() == [job.id]
    assert job_of(job.id).status == "queued"


def test_a_heartbeat_restarts_the_lease(database, new_job):
    new_job()
    job, clock = claimed(database), Clock()
    sweeper = Sweeper(database, notifier=None, lease_seconds=15.0, clock=clock)
    for _ in range(10):
        sweeper.reap()
        clock.now += 10.0
        with database.write() as session:
            heartbeat(session, job.id, job.attempt)
    assert sweeper.reap() == []


def test_a_sweeper_that_was_suspended_for_hours_takes_no_job_at_its_first_sweep(database, new_job):
    new_job()
    job, clock = claimed(database), Clock()
    sweeper = Sweeper(database, notifier=None, lease_seconds=15.0, clock=clock)
    sweeper.reap()
    clock.now += 7200.0
    with database.write() as session:
        heartbeat(session, job.id, job.attempt)
    assert sweeper.reap() == []


def test_two_sweepers_take_a_job_once(database, new_job, job_of):
    new_job()
    job, clock = claimed(database), Clock()
    sweepers = [Sweeper(database, notifier=None, lease_seconds=15.0, clock=clock) for _ in range(2)]
    for sweeper in sweepers:
        sweeper.reap()
    clock.now += 20.0
    assert [sweeper.reap() for sweeper in sweepers] == [[job.id], []]
    assert job_of(job.id).attempts_without_checkpoint == 1


def test_an_unavailable_database_does_not_expire_leases(database, new_job, job_of):
    """Each running job gets a new lease after an outage of the database.

    No worker can write heartbeats during the outage (for example a restart of Postgres).
    """
    new_job()
    job, clock = claimed(database), Clock()
    sweeper = Sweeper(database, notifier=None, lease_seconds=15.0, clock=clock)
    sweeper.reap()
    clock.now += 60.0
    rename(database, "job", "away")
    with pytest.raises(SQLAlchemyError):
        sweeper.reap()
    rename(database, "away", "job")
    assert sweeper.reap() == []
    clock.now += 14.0
    assert sweeper.reap() == []
    clock.now += 2.0
    assert sweeper.reap() == [job.id]


def rename(database, name: str, to: str) -> None:
    with database.write() as session:
        session.connection().exec_driver_sql(f"ALTER TABLE {name} RENAME TO {to}")
