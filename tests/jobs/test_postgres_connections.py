"""Connections to a real Postgres: the round trips of a read, and connections that break."""

import pytest
from psycopg.pq import TransactionStatus
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from jobs import database as module
from jobs.database import Database

BACKEND = text("SELECT pg_backend_pid()")


@pytest.fixture
def database(postgres_server):
    database = Database(postgres_server.url, max_connections=1)
    yield database
    database.dispose()


def backend(database):
    with database.read() as session:
        return session.scalar(BACKEND)


def end(server, pid):
    """Ends the server's process of a connection, as an administrator or a restart does."""
    other = Database(server.url)
    with other.read() as session:
        assert session.scalar(text("SELECT pg_terminate_backend(:pid, 60000)"), {"pid": pid})
    other.dispose()


def test_a_read_takes_no_transaction_and_a_write_takes_one(database):
    for begin, expected in [
        (database.read, TransactionStatus.IDLE),
        (database.write, TransactionStatus.INTRANS),
        (database.read, TransactionStatus.IDLE),
    ]:
        with begin() as session:
            session.scalar(BACKEND)
            connection = session.connection().connection.driver_connection
            assert connection.info.transaction_status == expected


def test_a_connection_that_broke_while_idle_is_replaced(database, postgres_server, monkeypatch):
    monkeypatch.setattr(module, "PING_AFTER_SECONDS", 0.0)
    first = backend(database)
    assert backend(database) == first
    end(postgres_server, first)
    assert backend(database) != first


def test_a_connection_that_broke_just_after_its_use_costs_one_error(
    database, postgres_server, monkeypatch
):
    monkeypatch.setattr(module, "PING_AFTER_SECONDS", 3600.0)
    first = backend(database)
    end(postgres_server, first)
    with pytest.raises(OperationalError):
        backend(database)
    assert backend(database) != first
