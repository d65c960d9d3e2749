"""Copies all rows of a database into an empty one, such as from SQLite to Postgres."""

from sqlalchemy import Connection, Integer, Table, func, insert, select, text
from sqlmodel import Session

from jobs.attempts import running_jobs
from jobs.database import READ, check_schema, make_engine, upgrade
from jobs.errors import CopyRefused
from jobs.tables import Table as Base
from jobs.workers import live_workers

BATCH = 1000
SKIPPED = frozenset(("worker",))
"""Names of the tables that are not copied. Each worker writes its own row again."""


def copy_database(source_url: str, target_url: str) -> dict[str, int]:
    """Copies all rows; returns the number of rows by table.

    Creates this version's schema in the target, which must have no rows. The copy is one
    transaction of the target: an interrupted copy leaves the target empty and can be repeated.

    Raises:
        CopyRefused: If the source is in use, or the target holds rows.
        SchemaTooNew, SchemaTooOld: If the source has the schema of another version.
    """
    source = make_engine(source_url)
    target = make_engine(target_url)
    try:
        check_schema(source)
        upgrade(target_url)
        reading = source.execution_options(**READ)
        if source.dialect.name == "postgresql":
            reading = reading.execution_options(isolation_level="REPEATABLE READ")
        with reading.connect() as old, target.begin() as new:
            _refuse_busy(old)
            _refuse_rows(new)
            return {table.name: _copy(old, new, table) for table in _tables()}
    finally:
        source.dispose()
        target.dispose()


def _tables() -> list[Table]:
    """The tables to copy; referenced tables come first."""
    return [table for table in Base.metadata.sorted_tables if table.name not in SKIPPED]


def _refuse_busy(source: Connection) -> None:
    with Session(source) as session:
        running, workers = running_jobs(session), live_workers(session)
    if running or workers:
        raise CopyRefused(
            f"the source is in use: {len(running)} jobs are running and {len(workers)} workers "
            "are alive. The copy would miss their later writes; stop the service first"
        )


def _refuse_rows(target: Connection) -> None:
    filled = [
        table.name
        for table in _tables()
        if target.execute(select(func.count()).select_from(table)).scalar_one()
    ]
    if filled:
        raise CopyRefused(
            f"the target already holds rows in {', '.join(filled)}: copy into an empty database"
        )


def _copy(source: Connection, target: Connection, table: Table) -> int:
    rows = source.execution_options(stream_results=True, yield_per=BATCH).execute(select(table))
    count = 0
    for part in rows.mappings().partitions(BATCH):
        target.execute(insert(table), [dict(row) for row in part])
        count += len(part)
    _continue_numbers(target, table)
    return count


def _continue_numbers(target: Connection, table: Table) -> None:
    """Sets the sequence of a Postgres table to the value after the largest copied key."""
    column = table.autoincrement_column
    if target.dialect.name != "postgresql" or column is None:
        return
    if not isinstance(column.type, Integer) or len(table.primary_key.columns) > 1:
        return
    target.execute(
        text(
            "SELECT setval(pg_get_serial_sequence(:table, :column), "
            f'coalesce((SELECT max("{column.name}") FROM "{table.name}"), 0) + 1, false) '
            "WHERE pg_get_serial_sequence(:table, :column) IS NOT NULL"
        ),
        {"table": table.name, "column": column.name},
    )
