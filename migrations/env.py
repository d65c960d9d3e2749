"""Alembic's environment. All migrations run in the transaction of the caller's connection."""

from alembic import context

from jobs.tables import Table

connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=Table.metadata,
    # One transaction for all revisions, begun by the caller: a kill at any statement rolls it back.
    # Batch mode copies tables, because SQLite supports few forms of ALTER TABLE.
    transactional_ddl=True,
    transaction_per_migration=False,
    render_as_batch=True,
)
context.run_migrations()
