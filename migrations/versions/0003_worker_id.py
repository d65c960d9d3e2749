"""Rename the column `owner` of jobs and short tasks to `worker_id`.

The column names the worker. The name `owner` stays free for the user who submitted the job.

Revision ID: 0003
Revises: 0002
"""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

TABLES = ("job", "short_task")


def upgrade() -> None:
    for table in TABLES:  # SQLite (3.25 and later) and PostgreSQL share the statement
        op.execute(f"ALTER TABLE {table} RENAME COLUMN owner TO worker_id")


def downgrade() -> None:
    for table in TABLES:
        op.execute(f"ALTER TABLE {table} RENAME COLUMN worker_id TO owner")
