"""Add an index of the warnings of all jobs by time.

The index contains only warnings, so it does not slow down the writes of other events.

Revision ID: 0009
Revises: 0008
"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

CONDITION = "type = 'warning'"


def upgrade() -> None:
    op.create_index(
        "ix_job_event_warnings",
        "job_event",
        ["time"],
        unique=False,
        sqlite_where=sa.text(CONDITION),
        postgresql_where=sa.text(CONDITION),
    )


def downgrade() -> None:
    op.drop_index("ix_job_event_warnings", table_name="job_event")
