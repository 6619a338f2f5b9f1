"""Roster, leads, decision records, and the chassis' tables."""

import sqlalchemy as sa
from alembic import op
from service_chassis.chassis_tables import create_v1, drop_v1
from sqlalchemy.dialects.postgresql import JSONB

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_UNOWNED = sa.text("state IN ('pending', 'waiting')")


def upgrade() -> None:
    create_v1(op)
    op.create_table(
        "attorneys",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("email", sa.Text, nullable=False),
        sa.Column("available", sa.Boolean, nullable=False),
        sa.Column("capacity", sa.Integer, nullable=True),
        sa.Column("practice_areas", JSONB, nullable=False),
        sa.Column("languages", JSONB, nullable=False),
        sa.Column("absences", JSONB, nullable=False),
        sa.Column("open_leads", sa.Integer, nullable=False, server_default="0"),
        sa.Column("last_assigned_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_attorneys"),
        sa.CheckConstraint("open_leads >= 0", name="ck_attorneys_open_leads"),
    )
    op.create_table(
        "leads",
        sa.Column("lead_id", sa.Uuid, nullable=False),
        sa.Column("epoch", sa.Integer, nullable=False),
        sa.Column("decision", sa.Integer, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("outreach", sa.Boolean, nullable=False, server_default=sa.text("false")),
        sa.Column("first_name", sa.Text, nullable=True),
        sa.Column("last_name", sa.Text, nullable=True),
        sa.Column("email", sa.Text, nullable=True),
        sa.Column("practice_area", sa.Text, nullable=True),
        sa.Column("language", sa.Text, nullable=True),
        sa.Column("keep_attorney_id", sa.Uuid, nullable=True),
        sa.Column("not_attorney_id", sa.Uuid, nullable=True),
        sa.Column("attorney_id", sa.Uuid, nullable=True),
        sa.Column("registered_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("waiting_reason", sa.Text, nullable=True),
        sa.Column("waiting_since", sa.DateTime(timezone=True), nullable=True),
        sa.Column("explanation", JSONB, nullable=True),
        sa.Column("trace_id", sa.Text, nullable=True),
        sa.PrimaryKeyConstraint("lead_id", name="pk_leads"),
        sa.ForeignKeyConstraint(["attorney_id"], ["attorneys.id"], name="fk_leads_attorney_id_attorneys"),
        sa.CheckConstraint("state IN ('pending', 'waiting', 'assigned', 'closed', 'erased')", name="ck_leads_state"),
        sa.CheckConstraint("(state = 'assigned') = (attorney_id IS NOT NULL)", name="ck_leads_owner"),
        sa.CheckConstraint("(state = 'waiting') = (waiting_reason IS NOT NULL)", name="ck_leads_waiting_reason"),
        sa.CheckConstraint(
            "num_nonnulls(first_name, last_name, email) = CASE WHEN state IN ('pending', 'waiting') THEN 3 ELSE 0 END",
            name="ck_leads_contact",
        ),
        sa.CheckConstraint(
            "state NOT IN ('pending', 'waiting') OR registered_at IS NOT NULL", name="ck_leads_registered_at"
        ),
    )
    op.create_index("ix_leads_unowned", "leads", ["registered_at", "lead_id"], postgresql_where=_UNOWNED)
    op.create_index("ix_leads_state", "leads", ["state", "waiting_reason"], postgresql_where=_UNOWNED)
    op.create_table(
        "assignments",
        sa.Column("lead_id", sa.Uuid, nullable=False),
        sa.Column("decision", sa.Integer, nullable=False),
        sa.Column("epoch", sa.Integer, nullable=False),
        sa.Column("attorney_id", sa.Uuid, nullable=False),
        sa.Column("worker", sa.Text, nullable=False),
        sa.Column("explanation", JSONB, nullable=False),
        sa.Column("active", sa.Boolean, nullable=False),
        sa.Column("assigned_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("lead_id", "decision", name="pk_assignments"),
        sa.ForeignKeyConstraint(["lead_id"], ["leads.lead_id"], name="fk_assignments_lead_id_leads"),
        sa.ForeignKeyConstraint(["attorney_id"], ["attorneys.id"], name="fk_assignments_attorney_id_attorneys"),
    )
    op.create_index(
        "uq_assignments_active", "assignments", ["lead_id"], unique=True, postgresql_where=sa.text("active")
    )


def downgrade() -> None:
    for table in ("assignments", "leads", "attorneys"):
        op.drop_table(table)
    drop_v1(op)
