"""Private links that are mailed to a prospect's own address."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "prospect_links",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("lead_id", sa.Uuid(), nullable=True),
        sa.Column("email_key", sa.Text(), nullable=True),
        sa.Column("requested_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["lead_id"], ["leads.id"], name="fk_prospect_links_lead_id_leads"),
        sa.PrimaryKeyConstraint("id", name="pk_prospect_links"),
        sa.CheckConstraint("(lead_id IS NULL) <> (email_key IS NULL)", name="ck_prospect_links_wish_or_link"),
    )
    op.create_index("ix_prospect_links_lead_id", "prospect_links", ["lead_id"])
    op.create_index(
        "ix_prospect_links_wishes",
        "prospect_links",
        ["requested_at"],
        postgresql_where=sa.text("email_key IS NOT NULL"),
    )


def downgrade() -> None:
    op.drop_table("prospect_links")
