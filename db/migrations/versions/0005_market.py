"""The market"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index(
        "teams_joinable_idx",
        "teams",
        ["source", "campaign_id", "goods_id", sa.text("(target_count - complete_count)"), "deadline"],
        postgresql_where=sa.text("status = 'forming'"),
    )
