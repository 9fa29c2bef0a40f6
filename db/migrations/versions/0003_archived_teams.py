"""The archive of old teams"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "archived_teams",
        sa.Column("team_id", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("archived_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column(
            "user_ids",
            postgresql.ARRAY(sa.Text()),
            nullable=False,
            comment="of the record's orders, in their order: they can be erased",
        ),
        sa.Column(
            "record",
            postgresql.JSONB(),
            nullable=False,
            comment="team, orders, refunds, events with deliveries, ... as the rows were",
        ),
        sa.PrimaryKeyConstraint("team_id", name=op.f("archived_teams_pkey")),
        comment="The teams that retention archived when it removed them.",
    )
    op.create_index("archived_teams_users_idx", "archived_teams", ["user_ids"], postgresql_using="gin")
