"""Orders whose money is on its way back are found without reading the others"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index(
        "orders_refunding_idx", "orders", ["order_id"], unique=False, postgresql_where=sa.text("status = 'refunding'")
    )


def downgrade() -> None:
    op.drop_index("orders_refunding_idx", table_name="orders", postgresql_where=sa.text("status = 'refunding'"))
