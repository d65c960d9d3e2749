"""Give the queue index the order in which jobs are claimed, so that queries need no sort.

Revision ID: 0007
Revises: 0006
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("job", schema=None, recreate="never") as batch_op:
        batch_op.create_index(
            "ix_job_queue", ["status", sa.text("priority DESC"), "queued_at", "id"]
        )
        batch_op.drop_index("ix_job_status_priority_queued_at")


def downgrade() -> None:
    with op.batch_alter_table("job", schema=None, recreate="never") as batch_op:
        batch_op.create_index(
            "ix_job_status_priority_queued_at", ["status", "priority", "queued_at"]
        )
        batch_op.drop_index("ix_job_queue")
