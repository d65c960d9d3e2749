"""Add the resources that jobs need and workers offer, and the placements of jobs on Slurm.

A placement records that an attempt of a job was submitted to Slurm.

Revision ID: 0004
Revises: 0003
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

ZERO = sa.text("0")


def upgrade() -> None:
    with op.batch_alter_table("job", schema=None) as batch_op:
        batch_op.add_column(
            sa.Column("where_allowed", sa.String(length=64), nullable=False, server_default="any")
        )
        batch_op.add_column(
            sa.Column("num_gpus", sa.Integer(), nullable=False, server_default=ZERO)
        )
        batch_op.add_column(
            sa.Column("needs_gpu", sa.Boolean(), nullable=False, server_default=sa.false())
        )
        for name in ("min_memory_bytes", "min_device_memory_bytes"):
            batch_op.add_column(
                sa.Column(name, sa.BigInteger(), nullable=False, server_default=ZERO)
            )
    with op.batch_alter_table("worker", schema=None) as batch_op:
        batch_op.add_column(sa.Column("offer", sa.JSON(none_as_null=True), nullable=True))
    op.create_table(
        "placement",
        sa.Column("job_id", sa.String(length=32), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("is_open", sa.Boolean(), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=64), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("slurm_id", sa.String(length=64), nullable=True),
        sa.Column("worker_id", sa.String(length=200), nullable=True),
        sa.Column("expected_start_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("missed", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["job_id"], ["job.id"], name=op.f("fk_placement_job_id_job"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("job_id", "attempt", name=op.f("pk_placement")),
        sa.UniqueConstraint("name", name=op.f("uq_placement_name")),
    )
    with op.batch_alter_table("placement", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_placement_is_open"), ["is_open"], unique=False)


def downgrade() -> None:
    op.drop_table("placement")
    with op.batch_alter_table("worker", schema=None) as batch_op:
        batch_op.drop_column("offer")
    with op.batch_alter_table("job", schema=None) as batch_op:
        for name in (
            "min_device_memory_bytes",
            "min_memory_bytes",
            "needs_gpu",
            "num_gpus",
            "where_allowed",
        ):
            batch_op.drop_column(name)
