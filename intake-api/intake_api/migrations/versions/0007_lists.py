"""Search of leads by name and address; notes."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("CREATE EXTENSION IF NOT EXISTS pg_trgm")  # a trusted extension: the owner of a database may
    op.create_index(
        "ix_leads_search",
        "leads",
        [sa.literal_column("lower((((first_name || ' ') || last_name) || ' ') || email)").label("search_text")],
        postgresql_using="gin",
        postgresql_ops={"search_text": "gin_trgm_ops"},
    )
    op.create_table(
        "lead_notes",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("lead_id", sa.Uuid(), nullable=False),
        sa.Column("author", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["lead_id"], ["leads.id"], name="fk_lead_notes_lead_id_leads", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_lead_notes"),
    )
    op.create_index("ix_lead_notes_lead_id_created_at", "lead_notes", ["lead_id", "created_at", "id"])


def downgrade() -> None:
    op.drop_index("ix_lead_notes_lead_id_created_at", table_name="lead_notes")
    op.drop_table("lead_notes")
    op.drop_index("ix_leads_search", table_name="leads", postgresql_using="gin")
    op.execute("DROP EXTENSION IF EXISTS pg_trgm")
