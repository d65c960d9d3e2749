"""Migrations are atomic, repeatable after a kill at any statement, and safe in two processes."""

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
from jobs.settings import DATABASE_FILE, Settings
from jobs.tables import Table

KILLED_AT_EACH_STATEMENT = """
import os, signal, sys
from pathlib import Path
from sqlalchemy import event
from sqlalchemy.engine import Engine
from jobs.database import upgrade

folder = Path(sys.argv[1])
seen = fatal = 0

def before(*_):
    global seen
    seen += 1
    if seen == fatal:
        os.kill(os.getpid(), signal.SIGKILL)

event.listen(Engine, "before_cursor_execute", before)
for fatal in range(1, 200):
    process = os.fork()
    if process == 0:
        upgrade(f"sqlite:///{folder / 'killed.sqlite3'}")
        os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    print(fatal, status, flush=True)
    if status != -signal.SIGKILL:
        break
    for file in folder.glob("killed.sqlite3*"):
        (folder / f"{fatal:03d}-{file.name}").write_bytes(file.read_bytes())
"""
"""A program that forks a child for each statement at which the upgrade is killed. A new interpreter
for each would spend most of its time on starting Python and importing SQLAlchemy."""


def run(program: str, *arguments: str) -> subprocess.Popen:
    return subprocess.Popen([sys.executable, "-c", program, *arguments], stderr=subprocess.PIPE)


def is_comparable(item: object, name: str | None, *_: object) -> bool:
    """Alembic cannot compare an index with DESC on SQLite; test_positions.py checks its use."""
    return name != "ix_job_queue"


def test_the_tables_are_those_that_the_migrations_make(url):
    engine = make_engine(url)
    with engine.connect() as connection:
        options = {"include_object": is_comparable}
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, Table.metadata) == []
    engine.dispose()


def test_downgrade_to_base_and_upgrade_again(url):
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
    process = subprocess.run(
        [sys.executable, "-c", KILLED_AT_EACH_STATEMENT, str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
    )
    *kills, last = (tuple(map(int, line.split())) for line in process.stdout.splitlines())
    assert last == (len(kills) + 1, 0)
    assert len(kills) >= 10
    for statement, status in kills:
        assert status == -signal.SIGKILL
        with sqlite3.connect(tmp_path / f"{statement:03d}-killed.sqlite3") as connection:
            tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        connection.close()
        assert tables == (0,), f"statement {statement} left tables"
    engine = make_engine(f"sqlite:///{tmp_path / 'killed.sqlite3'}")
    check_schema(engine)
    engine.dispose()


def test_two_upgrades_at_once_both_succeed(tmp_path):
    url = f"sqlite:///{tmp_path / 'both.sqlite3'}"
    program = "import sys; from jobs.database import upgrade; upgrade(sys.argv[1])"
    processes = [run(program, url) for _ in range(2)]
    for process in processes:
        with process:
            _, errors = process.communicate()
        assert process.returncode == 0, errors
    check_schema(make_engine(url))


def test_a_schema_newer_than_the_program_is_refused(url):
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


@pytest.mark.parametrize("name", ["a b%20c", "a?b=c", "a#b", "ä&=+"])
def test_the_database_is_in_the_runs_folder_whatever_its_name(tmp_path, name):
    settings = Settings(_env_file=None, runs_dir=tmp_path / name)
    upgrade(settings.database_url)
    Database(settings.database_url).check_schema()
    assert (tmp_path / name / DATABASE_FILE).stat().st_size > 0
    assert [path.name for path in tmp_path.iterdir()] == [name]
