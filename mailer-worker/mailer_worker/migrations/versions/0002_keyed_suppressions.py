"""The suppression list holds hashes with a key.

Those without one are deleted, not converted: they are hashes of addresses that anybody could try, and a migration
has no key. An address that was on the list gets one more mail, is refused again, and is listed again.
"""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("DELETE FROM suppressions")


def downgrade() -> None:
    op.execute("DELETE FROM suppressions")
