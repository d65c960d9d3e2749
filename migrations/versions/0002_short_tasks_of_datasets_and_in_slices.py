"""Add short tasks of datasets, and the progress and state of short tasks.

A short task is work that does not wait for training jobs, such as an evaluation. Until now each
belonged to a job; now one can belong to a dataset instead, such as the cleaning of a dataset. A
long task runs in time slices: `state` is what it has computed when a slice ends, from which the
next slice continues.

Revision ID: 0002
Revises: 0001
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("short_task", schema=None) as batch_op:
        batch_op.alter_column("job_id", existing_type=sa.String(length=32), nullable=True)
        batch_op.add_column(sa.Column("dataset", sa.String(length=64), nullable=True))
        batch_op.add_column(
            sa.Column("progress", sa.Float(), nullable=False, server_default=sa.text("0"))
        )
        batch_op.add_column(sa.Column("state", sa.JSON(none_as_null=True), nullable=True))
        batch_op.create_index(batch_op.f("ix_short_task_dataset"), ["dataset"], unique=False)


def downgrade() -> None:
    op.execute("DELETE FROM short_task WHERE job_id IS NULL")
    with op.batch_alter_table("short_task", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_short_task_dataset"))
        batch_op.drop_column("state")
        batch_op.drop_column("progress")
        batch_op.drop_column("dataset")
        batch_op.alter_column("job_id", existing_type=sa.String(length=32), nullable=False)
