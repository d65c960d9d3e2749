"""Migrations are atomic, can be run again after a kill at any statement, and by two at once."""

import os
import signal
import sqlite3
import subprocess
import sys

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from jobs.database import Database, check_schema, make_engine, migration_config, upgrade
from jobs.errors import SchemaTooNew, SchemaTooOld
from jobs.tables import Table

KILLED_AT = """
import os, signal, sys
from sqlalchemy import event
from sqlalchemy.engine import Engine
from jobs.database import upgrade
count = 0
def before(*_):
    global count
    count += 1
    if count == int(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)
event.listen(Engine, "before_cursor_execute", before)
upgrade(sys.argv[1])
"""


def run(program: str, *arguments: str) -> subprocess.Popen:
    return subprocess.Popen([sys.executable, "-c", program, *arguments], stderr=subprocess.PIPE)


def test_the_tables_are_those_that_the_migrations_make(url):
    engine = make_engine(url)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection)
        assert compare_metadata(context, Table.metadata) == []
    engine.dispose()


def test_down_to_nothing_and_up_again(url):
    engine = make_engine(url, foreign_keys=False)
    config = migration_config()
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "base")
    engine.dispose()
    database = Database(url)
    with pytest.raises(SchemaTooOld, match="babylm migrate"):
        database.check_schema()
    upgrade(url)
    database.check_schema()
    database.dispose()


def test_killed_at_any_statement_it_can_be_run_again(tmp_path):
    url = f"sqlite:///{tmp_path / 'killed.sqlite3'}"
    kills = 0
    for statement in range(1, 100):
        process = run(KILLED_AT, url, str(statement))
        with process:
            process.communicate()
        if process.returncode == 0:
            break
        assert process.returncode == -signal.SIGKILL
        kills += 1
        with sqlite3.connect(tmp_path / "killed.sqlite3") as connection:
            tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        connection.close()
        assert tables == (0,), f"statement {statement} left something behind"
    assert kills >= 10
    check_schema(make_engine(url))


def test_two_starters_at_once_both_succeed(tmp_path):
    url = f"sqlite:///{tmp_path / 'both.sqlite3'}"
    program = "import sys; from jobs.database import upgrade; upgrade(sys.argv[1])"
    processes = [run(program, url) for _ in range(2)]
    for process in processes:
        with process:
            _, errors = process.communicate()
        assert process.returncode == 0, errors
    check_schema(make_engine(url))


def test_a_schema_newer_than_the_program_is_refused_in_words(url):
    engine = make_engine(url)
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    for act in (lambda: upgrade(url), lambda: check_schema(engine)):
        with pytest.raises(SchemaTooNew, match="newer"):
            act()
    engine.dispose()


def test_migrations_are_found_from_any_folder(tmp_path):
    program = "import sys; from jobs.database import upgrade; upgrade(sys.argv[1])"
    process = subprocess.run(
        [sys.executable, "-c", program, f"sqlite:///{tmp_path / 'elsewhere.sqlite3'}"],
        cwd="/",
        env=os.environ | {"PYTHONPATH": os.getcwd()},
        check=False,
    )
    assert process.returncode == 0
