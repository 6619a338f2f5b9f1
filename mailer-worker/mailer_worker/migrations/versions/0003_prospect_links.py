"""Mails of prospects' links: they introduce no attorney, and are worth nothing after a time."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

ATTORNEY = (("attorney_id", sa.Uuid()), ("attorney_name", sa.Text()), ("attorney_email", sa.Text()))


def upgrade() -> None:
    op.add_column("deliveries", sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True))
    for name, type_ in ATTORNEY:
        op.alter_column("deliveries", name, existing_type=type_, nullable=True)


def downgrade() -> None:
    op.execute("DELETE FROM deliveries WHERE attorney_id IS NULL")
    for name, type_ in ATTORNEY:
        op.alter_column("deliveries", name, existing_type=type_, nullable=False)
    op.drop_column("deliveries", "expires_at")
