"""A real database with the migrations applied, for each test.

SQLite, or databases of their own on the Postgres server that BABYLM_TEST_POSTGRES_URL names.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import create_engine, make_url

from core.spec.job import JobSpec
from jobs.database import Database, upgrade
from jobs.settings import DATABASE_FILE
from jobs.store import create_job

SPEC = JobSpec.model_validate({"preset": "sample"}).resolve()


@contextmanager
def empty_database(folder: Path) -> Iterator[str]:
    """The address of a database with nothing in it."""
    server = os.environ.get("BABYLM_TEST_POSTGRES_URL")
    if server is None:
        yield f"sqlite:///{folder / 'babylm.sqlite3'}"
        return
    name = f"test_{uuid4().hex}"
    engine = create_engine(server, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
        yield make_url(server).set(database=name).render_as_string(hide_password=False)
        connection.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")
    engine.dispose()


@pytest.fixture(scope="session")
def migrated(tmp_path_factory):
    """An empty SQLite file with all migrations, copied for each test: making one is dear."""
    file = tmp_path_factory.mktemp("migrated") / DATABASE_FILE
    upgrade(f"sqlite:///{file}")
    return file


@pytest.fixture
def url(tmp_path, migrated):
    with empty_database(tmp_path) as url:
        if url.startswith("sqlite"):
            shutil.copy(migrated, make_url(url).database)
        else:
            upgrade(url)
        yield url


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
