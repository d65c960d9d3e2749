"""Add studies, the columns of their members, and the device memory that a job is expected to use.

A study compares the conditions of a grid of settings. A member is a job that belongs to a study.

Revision ID: 0006
Revises: 0005
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

MEMBER = ["study_id", "condition_number", "study_seed"]


def upgrade() -> None:
    op.create_table(
        "study",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("base", sa.JSON(), nullable=False),
        sa.Column("grid", sa.JSON(), nullable=False),
        sa.Column("seeds", sa.JSON(), nullable=False),
        sa.Column("idempotency_key", sa.Text(), nullable=True),
        sa.Column("request_hash", sa.String(length=64), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_study")),
        sa.UniqueConstraint("idempotency_key", name=op.f("uq_study_idempotency_key")),
    )
    op.create_index(op.f("ix_study_created_at_id"), "study", ["created_at", "id"])
    with op.batch_alter_table("job", schema=None) as batch_op:
        batch_op.add_column(sa.Column("study_id", sa.String(length=32), nullable=True))
        batch_op.add_column(sa.Column("condition_number", sa.Integer(), nullable=True))
        batch_op.add_column(sa.Column("study_seed", sa.Integer(), nullable=True))
        batch_op.add_column(sa.Column("condition", sa.JSON(none_as_null=True), nullable=True))
        batch_op.add_column(sa.Column("device_bytes", sa.BigInteger(), nullable=True))
        batch_op.create_foreign_key(
            batch_op.f("fk_job_study_id_study"), "study", ["study_id"], ["id"], ondelete="SET NULL"
        )
    op.create_index(op.f("ix_job_study_id_condition_number_study_seed"), "job", MEMBER, unique=True)


def downgrade() -> None:
    op.drop_index(op.f("ix_job_study_id_condition_number_study_seed"), table_name="job")
    with op.batch_alter_table("job", schema=None) as batch_op:
        batch_op.drop_constraint(op.f("fk_job_study_id_study"), type_="foreignkey")
        for name in ("device_bytes", "condition", *reversed(MEMBER)):
            batch_op.drop_column(name)
    op.drop_table("study")
