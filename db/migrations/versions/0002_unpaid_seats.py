"""The unpaid seats by the end of their payment windows

The index is built while locks and payments wait: a few seconds for ten million orders.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # The guards of locks and payments say `status = 'locked'`: without COLLATE, they could scan this index for one order.
    unpaid = sa.text("""status COLLATE "C" = 'locked'""")
    op.create_index("orders_unpaid_idx", "orders", ["lock_expires_at", "team_id"], postgresql_where=unpaid)
