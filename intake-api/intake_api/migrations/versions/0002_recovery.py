"""Repairs of stuck leads; who resolved a dead letter, when and how."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "repairs",
        sa.Column("lead_id", sa.Uuid(), nullable=False),
        sa.Column("times", sa.Integer(), nullable=False),
        sa.Column("last_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("next_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["lead_id"], ["leads.id"], name="fk_repairs_lead_id_leads"),
        sa.PrimaryKeyConstraint("lead_id", name="pk_repairs"),
    )
    op.add_column("dead_letters", sa.Column("resolved_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("dead_letters", sa.Column("resolved_by", sa.Text(), nullable=True))
    op.add_column("dead_letters", sa.Column("resolution", sa.Text(), nullable=True))
    op.create_index("ix_dead_letters_status_last_at", "dead_letters", ["status", sa.text("last_at DESC")])


def downgrade() -> None:
    op.drop_index("ix_dead_letters_status_last_at", table_name="dead_letters")
    op.drop_column("dead_letters", "resolution")
    op.drop_column("dead_letters", "resolved_by")
    op.drop_column("dead_letters", "resolved_at")
    op.drop_table("repairs")
