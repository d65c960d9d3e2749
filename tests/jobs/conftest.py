"""A real database with the migrations applied, for each test.

It is an SQLite file, or a database on a Postgres server, see `tests.postgres`.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from core.spec.job import JobSpec
from jobs.database import Database, upgrade
from jobs.settings import DATABASE_FILE, Settings
from jobs.store import create_job
from tests.postgres import URL, postgres_database

SPEC = JobSpec.model_validate({"preset": "sample"}).resolve()


@contextmanager
def empty_database(folder: Path) -> Iterator[str]:
    """The URL of an empty database without tables."""
    server = os.environ.get(URL)
    if server is None:
        yield f"sqlite:///{folder / 'babylm.sqlite3'}"
        return
    with postgres_database(server, migrated=False) as url:
        yield url


@pytest.fixture(scope="session")
def migrated(tmp_path_factory):
    """An empty SQLite file with all migrations, copied for each test: creating one is slow."""
    file = tmp_path_factory.mktemp("migrated") / DATABASE_FILE
    upgrade(f"sqlite:///{file}")
    return file


@pytest.fixture
def url(tmp_path, migrated, store):
    if store == "postgres":
        with postgres_database(os.environ[URL], migrated=True) as url:
            yield url
    else:
        file = tmp_path / "babylm.sqlite3"
        shutil.copy(migrated, file)
        yield f"sqlite:///{file}"


@pytest.fixture
def database(url):
    database = Database(url)
    yield database
    database.dispose()


@pytest.fixture
def settings(tmp_path, url):
    return Settings(_env_file=None, database_url=url, runs_dir=tmp_path / "runs")


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
