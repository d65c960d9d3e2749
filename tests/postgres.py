"""Postgres for the tests: one server, and a database for each test.

`BABYLM_TEST_STORE=postgres` starts a temporary server, as an unprivileged user. The tests of the
tables and of the API then use this server instead of SQLite. `BABYLM_TEST_POSTGRES_URL` makes them
use a server that is already running.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from uuid import uuid4

from sqlalchemy import NullPool, create_engine, make_url

from jobs.database import upgrade

URL = "BABYLM_TEST_POSTGRES_URL"
STORE = "BABYLM_TEST_STORE"


@contextmanager
def postgres_database(server: str, *, migrated: bool) -> Iterator[str]:
    """Creates a database, yields its address, and drops the database at the end of the block."""
    template = f" TEMPLATE {_template(server)}" if migrated else ""
    name = f"test_{uuid4().hex}"
    # NullPool opens a connection for each use, because a test may restart the server in between.
    engine = create_engine(server, isolation_level="AUTOCOMMIT", poolclass=NullPool)
    with engine.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}{template}")
    try:
        yield make_url(server).set(database=name).render_as_string(hide_password=False)
    finally:
        with engine.connect() as connection:
            connection.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")


@cache
def _template(server: str) -> str:
    """A database with all migrations, made once in each process and copied for each test."""
    name = f"template_{uuid4().hex}"
    engine = create_engine(server, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
    engine.dispose()
    upgrade(make_url(server).set(database=name).render_as_string(hide_password=False))
    return name
