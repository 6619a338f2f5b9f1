"""Deliveries, what stops one, and the chassis' tables."""

import sqlalchemy as sa
from alembic import op
from service_chassis.chassis_tables import create_v1, drop_v1
from sqlalchemy.dialects.postgresql import JSONB

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    create_v1(op)
    op.create_table(
        "deliveries",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("lead_id", sa.Uuid, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("recipient", sa.Text, nullable=False),
        sa.Column("sequence", sa.Integer, nullable=False),
        sa.Column("epoch", sa.Integer, nullable=False),
        sa.Column("decision", sa.Integer, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=True),
        sa.Column("ambiguous", sa.Boolean, nullable=False),
        sa.Column("ambiguous_attempts", sa.Integer, nullable=False),
        sa.Column("cancel_requested", sa.Boolean, nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("attempts_made", sa.Integer, nullable=False),
        sa.Column("first_queued_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("next_attempt_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("first_name", sa.Text, nullable=True),
        sa.Column("last_name", sa.Text, nullable=True),
        sa.Column("address", sa.Text, nullable=True),
        sa.Column("attorney_id", sa.Uuid, nullable=False),
        sa.Column("attorney_name", sa.Text, nullable=False),
        sa.Column("attorney_email", sa.Text, nullable=False),
        sa.Column("mail", sa.LargeBinary, nullable=True),
        sa.Column("mail_recipient", sa.Text, nullable=True),
        sa.Column("mail_attorney_id", sa.Uuid, nullable=True),
        sa.Column("message_id", sa.Text, nullable=True),
        sa.Column("smtp_code", sa.Integer, nullable=True),
        sa.Column("sent_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("request_id", sa.Uuid, nullable=True),
        sa.Column("trace_id", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_deliveries"),
        sa.UniqueConstraint(
            "lead_id", "kind", "recipient", "sequence", name="uq_deliveries_lead_id_kind_recipient_sequence"
        ),
        sa.CheckConstraint(
            "state IN ('queued', 'sending', 'deferred', 'sent', 'failed', 'cancelled', 'erased')",
            name="ck_deliveries_state",
        ),
    )
    for name, column, where in (
        ("ix_deliveries_waiting", "first_queued_at", "state IN ('queued', 'deferred')"),
        ("ix_deliveries_leased", "lease_until", "state IN ('sending', 'erased')"),
        ("ix_deliveries_finished", "changed_at", "address IS NOT NULL"),
    ):
        op.create_index(name, "deliveries", [column], postgresql_where=sa.text(where))
    op.create_table(
        "outreach_cancellations",
        sa.Column("lead_id", sa.Uuid, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("epoch", sa.Integer, nullable=False),
        sa.Column("cancelled_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("lead_id", "kind", name="pk_outreach_cancellations"),
    )
    op.create_table(
        "suppressions",
        sa.Column("address_hash", sa.LargeBinary, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("smtp_code", sa.Integer, nullable=True),
        sa.Column("suppressed_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("address_hash", name="pk_suppressions"),
    )
    op.create_table(
        "erased_leads",
        sa.Column("lead_id", sa.Uuid, nullable=False),
        sa.Column("requested_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("completed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("counts", JSONB, nullable=False),
        sa.Column("trace_id", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("lead_id", name="pk_erased_leads"),
    )
    op.create_index(
        "ix_erased_leads_pending", "erased_leads", ["requested_at"], postgresql_where=sa.text("completed_at IS NULL")
    )


def downgrade() -> None:
    for table in ("erased_leads", "suppressions", "outreach_cancellations", "deliveries"):
        op.drop_table(table)
    drop_v1(op)
