"""Leads, submissions, idempotency keys, attorneys, accounts, timeline, dead letters; the chassis' tables."""

import sqlalchemy as sa
from alembic import op
from service_chassis.chassis_tables import create_v1, drop_v1
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    create_v1(op)
    op.create_table(
        "attorneys",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("available", sa.Boolean(), nullable=False),
        sa.Column("capacity", sa.Integer(), nullable=True),
        sa.Column("practice_areas", postgresql.JSONB(), server_default=sa.text("'[]'"), nullable=False),
        sa.Column("languages", postgresql.JSONB(), server_default=sa.text("'[]'"), nullable=False),
        sa.Column("absences", postgresql.JSONB(), server_default=sa.text("'[]'"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_attorneys"),
        sa.UniqueConstraint("email", name="uq_attorneys_email"),
    )
    op.create_table(
        "dead_letters",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("queue", sa.Text(), nullable=False),
        sa.Column("message_key", sa.Text(), nullable=False),
        sa.Column("message_id", sa.Text(), nullable=True),
        sa.Column("message_type", sa.Text(), nullable=True),
        sa.Column("headers", postgresql.JSONB(), nullable=False),
        sa.Column("correlation_id", sa.Text(), nullable=True),
        sa.Column("lead_id", sa.Uuid(), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("error_type", sa.Text(), nullable=False),
        sa.Column("error_place", sa.Text(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("body_truncated", sa.Boolean(), nullable=False),
        sa.Column("status", sa.Text(), server_default="open", nullable=False),
        sa.Column("times", sa.Integer(), server_default="1", nullable=False),
        sa.Column("first_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("last_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("status IN ('open', 'replayed', 'discarded')", name="ck_dead_letters_status"),
        sa.PrimaryKeyConstraint("id", name="pk_dead_letters"),
        sa.UniqueConstraint("queue", "message_key", name="uq_dead_letters_queue_message_key"),
    )
    op.create_index("ix_dead_letters_lead_id", "dead_letters", ["lead_id"], unique=False)
    op.create_table(
        "idempotency_keys",
        sa.Column("key_hash", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("claim", sa.Uuid(), nullable=False),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("submission_id", sa.Uuid(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("key_hash", name="pk_idempotency_keys"),
    )
    op.create_index("ix_idempotency_keys_created_at", "idempotency_keys", ["created_at"], unique=False)
    op.create_table(
        "accounts",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("password_hash", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("attorney_id", sa.Uuid(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["attorney_id"], ["attorneys.id"], name="fk_accounts_attorney_id_attorneys"),
        sa.PrimaryKeyConstraint("id", name="pk_accounts"),
        sa.UniqueConstraint("email", name="uq_accounts_email"),
    )
    op.create_table(
        "leads",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("first_name", sa.Text(), nullable=False),
        sa.Column("last_name", sa.Text(), nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("email_key", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("epoch", sa.Integer(), server_default="0", nullable=False),
        sa.Column("decision", sa.Integer(), server_default="0", nullable=False),
        sa.Column("assigned_to", sa.Uuid(), nullable=True),
        sa.Column("reached_out_by", sa.Uuid(), nullable=True),
        sa.Column("reached_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("waiting_reason", sa.Text(), nullable=True),
        sa.Column("waiting_since", sa.DateTime(timezone=True), nullable=True),
        sa.Column("outreach_delivery_id", sa.Uuid(), nullable=True),
        sa.Column("outreach_attempt", sa.Integer(), nullable=True),
        sa.Column("outreach_next_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("outreach_reason", sa.Text(), nullable=True),
        sa.Column("outreach_final", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("trace_id", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "status IN ('quarantined', 'discarded', 'registered', 'assigned', 'reached_out', "
            "'outreach_failed', 'retained', 'declined')",
            name="ck_leads_status",
        ),
        sa.ForeignKeyConstraint(["assigned_to"], ["attorneys.id"], name="fk_leads_assigned_to_attorneys"),
        sa.ForeignKeyConstraint(["reached_out_by"], ["attorneys.id"], name="fk_leads_reached_out_by_attorneys"),
        sa.PrimaryKeyConstraint("id", name="pk_leads"),
    )
    op.create_index("ix_leads_email_key", "leads", ["email_key", sa.literal_column("created_at DESC")], unique=False)
    op.create_index(
        "ix_leads_newest", "leads", [sa.literal_column("created_at DESC"), sa.literal_column("id DESC")], unique=False
    )
    op.create_index(
        "ix_leads_open_by_owner",
        "leads",
        ["assigned_to"],
        unique=False,
        postgresql_where=sa.text("status IN ('registered', 'assigned', 'reached_out', 'outreach_failed')"),
    )
    op.create_table(
        "submissions",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("lead_id", sa.Uuid(), nullable=False),
        sa.Column("first_name", sa.Text(), nullable=False),
        sa.Column("last_name", sa.Text(), nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("resume_key", sa.Text(), nullable=False),
        sa.Column("resume_sha256", sa.Text(), nullable=False),
        sa.Column("resume_size", sa.BigInteger(), nullable=False),
        sa.Column("resume_type", sa.Text(), nullable=False),
        sa.Column("resume_filename", sa.Text(), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["lead_id"], ["leads.id"], name="fk_submissions_lead_id_leads"),
        sa.PrimaryKeyConstraint("id", name="pk_submissions"),
        sa.UniqueConstraint("resume_key", name="uq_submissions_resume_key"),
    )
    op.create_index("ix_submissions_lead_id", "submissions", ["lead_id"], unique=False)
    op.create_table(
        "timeline",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("lead_id", sa.Uuid(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("event_id", sa.Text(), nullable=False),
        sa.Column("occurrence", sa.Text(), nullable=False),
        sa.Column("detail", postgresql.JSONB(), nullable=False),
        sa.ForeignKeyConstraint(["lead_id"], ["leads.id"], name="fk_timeline_lead_id_leads"),
        sa.PrimaryKeyConstraint("id", name="pk_timeline"),
        sa.UniqueConstraint("lead_id", "occurrence", name="uq_timeline_lead_id_occurrence"),
    )
    op.create_index("ix_timeline_lead_id_at", "timeline", ["lead_id", "at", "id"], unique=False)


def downgrade() -> None:
    op.drop_index("ix_timeline_lead_id_at", table_name="timeline")
    op.drop_table("timeline")
    op.drop_index("ix_submissions_lead_id", table_name="submissions")
    op.drop_table("submissions")
    op.drop_index(
        "ix_leads_open_by_owner",
        table_name="leads",
        postgresql_where=sa.text("status IN ('registered', 'assigned', 'reached_out', 'outreach_failed')"),
    )
    op.drop_index("ix_leads_newest", table_name="leads")
    op.drop_index("ix_leads_email_key", table_name="leads")
    op.drop_table("leads")
    op.drop_table("accounts")
    op.drop_index("ix_idempotency_keys_created_at", table_name="idempotency_keys")
    op.drop_table("idempotency_keys")
    op.drop_index("ix_dead_letters_lead_id", table_name="dead_letters")
    op.drop_table("dead_letters")
    op.drop_table("attorneys")
    drop_v1(op)
