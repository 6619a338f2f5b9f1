"""Tombstones and receipts of erased leads; legal holds."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    now = sa.text("now()")
    op.create_table(
        "erasures",
        sa.Column("lead_id", sa.Uuid(), nullable=False),
        sa.Column("part_of", sa.Uuid(), nullable=True),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("decision", sa.Integer(), nullable=False),
        sa.Column("trace_id", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("requested_by", sa.Text(), nullable=False),
        sa.Column("requested_at", sa.DateTime(timezone=True), server_default=now, nullable=False),
        sa.Column("object_keys", postgresql.JSONB(), nullable=False),
        sa.Column("objects_deleted", sa.Integer(), server_default="0", nullable=False),
        sa.Column("answers", postgresql.JSONB(), nullable=False),
        sa.Column("completed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("said_times", sa.Integer(), server_default="1", nullable=False),
        sa.Column("say_again_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("lead_id", name="pk_erasures"),
    )
    op.create_index("ix_erasures_open", "erasures", ["requested_at"], postgresql_where=sa.text("completed_at IS NULL"))
    op.create_table(
        "legal_holds",
        sa.Column("lead_id", sa.Uuid(), nullable=False),
        sa.Column("reference", sa.Text(), nullable=False),
        sa.Column("placed_by", sa.Text(), nullable=False),
        sa.Column("placed_at", sa.DateTime(timezone=True), server_default=now, nullable=False),
        sa.ForeignKeyConstraint(["lead_id"], ["leads.id"], name="fk_legal_holds_lead_id_leads"),
        sa.PrimaryKeyConstraint("lead_id", name="pk_legal_holds"),
    )


def downgrade() -> None:
    op.drop_table("legal_holds")
    op.drop_table("erasures")
