"""Alembic's entry. The caller hands over a connection whose transaction everything happens in."""

from alembic import context

from jobs.tables import Table

connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=Table.metadata,
    # One transaction over all revisions, begun by the caller: killed at any statement, the database
    # is as it was. SQLite cannot alter most things, so tables are copied (batch mode).
    transactional_ddl=True,
    transaction_per_migration=False,
    render_as_batch=True,
)
context.run_migrations()
