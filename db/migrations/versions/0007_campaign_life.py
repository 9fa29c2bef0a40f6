"""Campaign life"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "campaign_endings",
        sa.Column("campaign_id", sa.Integer(), nullable=False),
        sa.Column("begun_by", sa.Text(), nullable=False, comment="the name of the key"),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("begun_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), comment="no team was forming, and all money had gone back"),
        sa.ForeignKeyConstraint(["campaign_id"], ["campaigns.campaign_id"], name=op.f("campaign_endings_campaign_id_fkey")),
        sa.PrimaryKeyConstraint("campaign_id", name=op.f("campaign_endings_pkey")),
    )
    op.create_table(
        "campaign_ending_teams",
        sa.Column("campaign_id", sa.Integer(), nullable=False),
        sa.Column(
            "team_id",
            sa.Text(),
            nullable=False,
            comment="no foreign key: it would lock the team's row after the quotas, against the order",
        ),
        sa.ForeignKeyConstraint(
            ["campaign_id"], ["campaign_endings.campaign_id"], name=op.f("campaign_ending_teams_campaign_id_fkey")
        ),
        sa.PrimaryKeyConstraint("campaign_id", "team_id", name=op.f("campaign_ending_teams_pkey")),
        comment="The teams that were forming when their campaign was ended: nobody can have opened another since.",
    )
