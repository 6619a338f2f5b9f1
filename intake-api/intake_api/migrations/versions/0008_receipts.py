"""Receipts of submissions; a resume can be withdrawn."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

CONSTRAINT = "ck_submissions_resume_state"


def upgrade() -> None:
    op.create_table(
        "receipts",
        sa.Column("submission_id", sa.Uuid(), nullable=False),
        sa.Column("serial", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["submission_id"], ["submissions.id"], name="fk_receipts_submission_id_submissions", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("submission_id", name="pk_receipts"),
    )
    op.drop_constraint(op.f(CONSTRAINT), "submissions", type_="check")
    op.create_check_constraint(
        op.f(CONSTRAINT), "submissions", "resume_state IN ('accepted', 'flagged', 'quarantined', 'withdrawn')"
    )


def downgrade() -> None:
    op.drop_constraint(op.f(CONSTRAINT), "submissions", type_="check")
    op.execute("UPDATE submissions SET resume_state = 'quarantined' WHERE resume_state = 'withdrawn'")
    op.create_check_constraint(
        op.f(CONSTRAINT), "submissions", "resume_state IN ('accepted', 'flagged', 'quarantined')"
    )
    op.drop_table("receipts")
