"""Orders of a user: an index that no search for an order's number can be led to"""

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_index("orders_user_idx", table_name="orders")
    op.create_index("orders_user_idx", "orders", ["user_id", "source", "locked_at", "order_id"])
