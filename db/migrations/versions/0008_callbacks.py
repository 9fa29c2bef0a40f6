"""Callbacks"""

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("events_source_idx", "events", ["source", "occurred_at"])
