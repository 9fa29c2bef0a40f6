"""Refunds and switches"""

import json

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from domain.ids import event_id

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "switches",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("value", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("changed_by", sa.Text(), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("switches_pkey")),
    )
    op.create_table(
        "refunds",
        sa.Column("order_id", sa.Text(), nullable=False),
        sa.Column(
            "attempt",
            sa.Integer(),
            nullable=False,
            comment="a new one after a veto, or when money came for a cancelled order",
        ),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column(
            "operator", sa.Text(), nullable=True, comment="who asked for it or stepped in last; null: the buyer or the platform"
        ),
        sa.Column("note", sa.Text(), nullable=True, comment="what the mall or an operator said to it"),
        sa.Column("amount", sa.Numeric(precision=12, scale=2), nullable=False),
        sa.Column("question", sa.Text(), nullable=True, comment="the event that asks the mall, before anything is released"),
        sa.Column("answer", sa.Text(), nullable=True, comment="the mall's, or an operator's for it: agreed, vetoed"),
        sa.Column("requested_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("released_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("looked_at", sa.DateTime(timezone=True), nullable=False, comment="when somebody last saw to its workflow"),
        sa.CheckConstraint("(finished_at IS NULL) = (status NOT IN ('done', 'rejected'))", name=op.f("refunds_finished_check")),
        sa.CheckConstraint(
            "answer IS NULL OR (question IS NOT NULL AND answer IN ('agreed', 'vetoed'))", name=op.f("refunds_answer_check")
        ),
        sa.CheckConstraint("kind IN ('unpaid', 'paid_unformed', 'paid_formed', 'unsettled')", name=op.f("refunds_kind_check")),
        sa.CheckConstraint("status <> 'done' OR released_at IS NOT NULL", name=op.f("refunds_released_check")),
        sa.CheckConstraint(
            "status <> 'rejected' OR (released_at IS NULL AND answer = 'vetoed')", name=op.f("refunds_rejected_check")
        ),
        sa.CheckConstraint(
            "status IN ('requested', 'awaiting_mall', 'done', 'rejected', 'attention')", name=op.f("refunds_status_check")
        ),
        sa.ForeignKeyConstraint(["order_id"], ["orders.order_id"], name=op.f("refunds_order_id_fkey")),
        sa.PrimaryKeyConstraint("order_id", "attempt", name=op.f("refunds_pkey")),
        sa.UniqueConstraint("question", name=op.f("refunds_question_key")),
    )
    op.create_index(
        "refunds_one_open_idx", "refunds", ["order_id"], unique=True, postgresql_where=sa.text("finished_at IS NULL")
    )
    op.create_index("refunds_requested_idx", "refunds", ["requested_at", "order_id"], unique=False)
    op.create_index(
        "refunds_unfinished_idx", "refunds", ["looked_at"], unique=False, postgresql_where=sa.text("finished_at IS NULL")
    )
    op.create_index(
        "refunds_attention_idx", "refunds", ["requested_at"], unique=False, postgresql_where=sa.text("status = 'attention'")
    )
    op.create_index(
        "deliveries_dead_idx", "deliveries", ["finished_at"], unique=False, postgresql_where=sa.text("status = 'dead'")
    )
    op.create_index(
        "teams_failed_idx",
        "teams",
        ["failed_at"],
        unique=False,
        postgresql_where=sa.text("status = 'failed' AND complete_count > 0"),
    )
    _open_refunds_that_were_owed()


OWED = "SELECT order_id, paid_amount, payment_reason FROM orders WHERE status = 'refunding'"
OPEN_REFUND = """
INSERT INTO refunds (order_id, attempt, kind, status, reason, amount, requested_at, released_at, looked_at)
SELECT order_id, 1, 'unsettled', 'requested', payment_reason, paid_amount, payment_reported_at, payment_reported_at,
       payment_reported_at
  FROM orders WHERE order_id = :order_id
"""
EVENT = """
INSERT INTO events (event_id, source, type, team_id, order_id, data, occurred_at)
SELECT :event_id, source, 'order.refunded', team_id, order_id,
       jsonb_build_object('out_trade_no', out_trade_no, 'team_id', team_id) || CAST(:data AS jsonb), payment_reported_at
  FROM orders WHERE order_id = :order_id
"""
DELIVERY = """
INSERT INTO deliveries (event_id, kind, address, format, status, attempts, since, next_attempt_at)
SELECT :event_id, callback_kind, callback_address, callback_format, 'pending', 0, now(), now()
  FROM orders WHERE order_id = :order_id AND callback_kind IS NOT NULL
"""


def _open_refunds_that_were_owed() -> None:
    """Until now, payments that could not be settled were only marked as owed. The schedule starts their workflows."""
    connection = op.get_bind()
    for order_id, amount, reason in connection.execute(sa.text(OWED)).all():
        values = {
            "order_id": order_id,
            "event_id": event_id("order.refunded", order_id),
            "data": json.dumps({"kind": "unsettled", "amount": f"{amount:.2f}", "reason": reason}),
        }
        for statement in (OPEN_REFUND, EVENT, DELIVERY):
            connection.execute(sa.text(statement), values)


def downgrade() -> None:
    op.drop_index("teams_failed_idx", table_name="teams", postgresql_where=sa.text("status = 'failed' AND complete_count > 0"))
    op.drop_index("deliveries_dead_idx", table_name="deliveries", postgresql_where=sa.text("status = 'dead'"))
    op.drop_index("refunds_attention_idx", table_name="refunds", postgresql_where=sa.text("status = 'attention'"))
    op.drop_index("refunds_unfinished_idx", table_name="refunds", postgresql_where=sa.text("finished_at IS NULL"))
    op.drop_index("refunds_requested_idx", table_name="refunds")
    op.drop_index("refunds_one_open_idx", table_name="refunds", postgresql_where=sa.text("finished_at IS NULL"))
    op.drop_table("refunds")
    op.drop_table("switches")
