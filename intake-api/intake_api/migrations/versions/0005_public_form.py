"""Optional fields, quarantine and merging of leads, safety of resumes, caps and the capture log."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

OPTIONAL_TEXTS = (
    "phone",
    "message",
    "practice_area",
    "language",
    "source",
    "referrer",
    "campaign",
    "consent_version",
    "consent_text",
)


def upgrade() -> None:
    op.add_column("leads", sa.Column("practice_area", sa.Text(), nullable=True))
    op.add_column("leads", sa.Column("language", sa.Text(), nullable=True))
    op.add_column(
        "leads",
        sa.Column("quarantine_reasons", postgresql.JSONB(), server_default=sa.text("'[]'"), nullable=False),
    )
    op.add_column("leads", sa.Column("released_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("leads", sa.Column("merged_into", sa.Uuid(), nullable=True))
    op.create_foreign_key("fk_leads_merged_into_leads", "leads", "leads", ["merged_into"], ["id"])
    op.add_column("submissions", sa.Column("resume_state", sa.Text(), server_default="accepted", nullable=False))
    op.add_column(
        "submissions", sa.Column("resume_flags", postgresql.JSONB(), server_default=sa.text("'[]'"), nullable=False)
    )
    for name in OPTIONAL_TEXTS:
        op.add_column("submissions", sa.Column(name, sa.Text(), nullable=True))
    op.add_column("submissions", sa.Column("consent_at", sa.DateTime(timezone=True), nullable=True))
    op.create_check_constraint(
        "ck_submissions_resume_state", "submissions", "resume_state IN ('accepted', 'flagged', 'quarantined')"
    )
    op.create_index(
        "ix_submissions_quarantined",
        "submissions",
        ["received_at"],
        postgresql_where=sa.text("resume_state = 'quarantined'"),
    )
    op.create_table(
        "rate_counters",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("ends_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("used", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_rate_counters"),
    )
    op.create_index("ix_rate_counters_ends_at", "rate_counters", ["ends_at"])
    op.create_table(
        "capture_log",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("occurrence", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("last_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("times", sa.Integer(), server_default="1", nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("reasons", postgresql.JSONB(), server_default=sa.text("'[]'"), nullable=False),
        sa.Column("client_hash", sa.Text(), nullable=False),
        sa.Column("recipient_hash", sa.Text(), nullable=True),
        sa.Column("trace_id", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_capture_log"),
        sa.UniqueConstraint("occurrence", name="uq_capture_log_occurrence"),
    )
    op.create_index("ix_capture_log_newest", "capture_log", [sa.text("at DESC"), sa.text("id DESC")])


def downgrade() -> None:
    op.drop_table("capture_log")
    op.drop_table("rate_counters")
    op.drop_index("ix_submissions_quarantined", table_name="submissions")
    op.drop_constraint("ck_submissions_resume_state", "submissions")
    for name in ("consent_at", *reversed(OPTIONAL_TEXTS), "resume_flags", "resume_state"):
        op.drop_column("submissions", name)
    op.drop_constraint("fk_leads_merged_into_leads", "leads", type_="foreignkey")
    for name in ("merged_into", "released_at", "quarantine_reasons", "language", "practice_area"):
        op.drop_column("leads", name)
