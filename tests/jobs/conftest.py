"""A real database file with the migrations applied, for each test."""

import pytest

from core.spec import JobSpec
from jobs.database import Database, upgrade
from jobs.store import create_job

SPEC = JobSpec.model_validate({"preset": "sample"}).resolve()


@pytest.fixture
def url(tmp_path):
    url = f"sqlite:///{tmp_path / 'babylm.sqlite3'}"
    upgrade(url)
    return url


@pytest.fixture
def database(url):
    database = Database(url)
    yield database
    database.dispose()


@pytest.fixture
def new_job(database):
    """Puts a job into the queue and returns its id."""

    def put(**options) -> str:
        with database.write() as session:
            job, _ = create_job(session, SPEC, **options)
            return job.id

    return put


@pytest.fixture
def job_of(database):
    """The row of a job as it is now."""

    def read(job_id: str):
        from jobs.store import get_job

        with database.read() as session:
            return get_job(session, job_id)

    return read
