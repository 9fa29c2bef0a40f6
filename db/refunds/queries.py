"""Reads refunds as they are now, and what a request for a refund needs to know of its order."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from db.core.connection import Database, Row, connection
from db.core.pagination import Conditions, Position
from domain.ids import refund_workflow_id, team_workflow_id
from domain.lifecycle import (
    OrderStatus,
    RefundKind,
    RefundStatus,
    RefundStep,
    RefundWindow,
    TeamStatus,
    decide_refund,
)
from domain.messages.refunds import RefundInput
from domain.schemas.refunds import OpsRefund, Refund
from domain.schemas.workflows import WorkflowLink


@dataclass(frozen=True, slots=True)
class RefundLookup:
    """What one read tells about a request for a refund: enough to answer a repeat, or to refuse early."""

    source: str
    out_trade_no: str
    order_status: OrderStatus
    team_status: TeamStatus
    window: RefundWindow
    refund: Refund | None
    """the latest one, rejected ones included; an owed one also before it has begun"""
    attempts: int

    @property
    def is_undone(self) -> bool:
        """Whether the order is undone or being undone, so that a further request is a repeat."""
        return self.order_status in {OrderStatus.REFUNDING, OrderStatus.REFUNDED, OrderStatus.CANCELLED}

    @property
    def is_owed(self) -> bool:
        """Whether the platform returns the money by itself, and has not begun."""
        return _is_owed(self.order_status, self.team_status)

    @property
    def open_attempt(self) -> int | None:
        """The number of the refund in progress."""
        return self.attempts if self.order_status is OrderStatus.REFUNDING else None

    @property
    def next_attempt(self) -> int:
        """The number of the refund in progress, or of the one that a request would begin."""
        return self.open_attempt or self.attempts + 1

    def require_window(self, now: datetime, *, force: bool) -> None:
        """Raises Refusal (refund_window_closed) if only a forced refund is possible now."""
        in_window = self.window.is_open(now)
        if decide_refund(self.order_status, self.team_status, in_window=in_window, force=force) is RefundStep.REFUSE:
            raise self.window.refusal()


LOOKUP = """
SELECT o.source, o.out_trade_no, o.order_id, o.team_id, o.status, o.cancel_reason, o.cancelled_at, o.paid_amount,
       t.status AS team_status, t.completed_at, t.refund_window, t.failed_at,
       r.attempt, r.kind, r.status AS refund_status, r.reason, r.amount, r.requested_at, r.finished_at
  FROM orders o JOIN teams t USING (team_id)
  LEFT JOIN LATERAL (SELECT * FROM refunds WHERE order_id = o.order_id ORDER BY attempt DESC LIMIT 1) r ON true
"""
LOOKUP_BY_NUMBER = f"{LOOKUP} WHERE o.source = $1 AND o.out_trade_no = $2"
LOOKUP_BY_ID = f"{LOOKUP} WHERE o.order_id = $1"


async def look_up_refund(database: Database, source: str, out_trade_no: str) -> RefundLookup | None:
    async with connection(database) as conn:
        row = await conn.fetchrow(LOOKUP_BY_NUMBER, source, out_trade_no)
    return _lookup(row) if row else None


async def look_up_refund_of_order(database: Database, order_id: str) -> RefundLookup | None:
    async with connection(database) as conn:
        row = await conn.fetchrow(LOOKUP_BY_ID, order_id)
    return _lookup(row) if row else None


# An unpaid order is cancelled at once; its refund stays in progress until the mall has received the event, or an operator has
# noted that the mall was told.
IS_UNACKNOWLEDGED = """
r.kind = 'unpaid' AND r.note IS NULL AND EXISTS (
  SELECT FROM events e JOIN deliveries d USING (event_id)
   WHERE e.team_id = o.team_id AND e.order_id = o.order_id AND e.type = 'order.cancelled' AND d.status <> 'delivered')
"""
IN_PROGRESS = f"""
SELECT o.source, o.out_trade_no, r.attempt
  FROM orders o LEFT JOIN refunds r ON r.order_id = o.order_id AND (r.finished_at IS NULL OR {IS_UNACKNOWLEDGED})
 WHERE o.order_id = $1 ORDER BY r.attempt
"""


async def refunds_in_progress(database: Database, order_id: str) -> list[RefundInput] | None:
    """Returns an order's refunds that are unfinished or that the mall was not told of; None if there is no such order."""
    async with connection(database) as conn:
        rows = await conn.fetch(IN_PROGRESS, order_id)
    return [RefundInput(**row) for row in rows if row["attempt"] is not None] if rows else None


def _lookup(row: Row) -> RefundLookup:
    return RefundLookup(
        source=row["source"],
        out_trade_no=row["out_trade_no"],
        order_status=OrderStatus(row["status"]),
        team_status=TeamStatus(row["team_status"]),
        window=RefundWindow(row["completed_at"], row["refund_window"]),
        refund=_refund(row),
        attempts=row["attempt"] or 0,
    )


def _refund(row: Row) -> Refund | None:
    """The latest refund. A cancelled order without one, and an owed one that has not begun, are shown as refunds, too."""
    identity = {"order_id": row["order_id"], "out_trade_no": row["out_trade_no"]}
    if _is_owed(row["status"], row["team_status"]):
        return Refund(
            **identity,
            kind=RefundKind.PAID_UNFORMED,
            status=RefundStatus.REQUESTED,
            reason="team_failed",
            amount=row["paid_amount"],
            requested_at=row["failed_at"],
            finished_at=None,
            workflow=WorkflowLink(id=refund_workflow_id(row["order_id"], (row["attempt"] or 0) + 1)),
        )
    if row["attempt"] is not None:
        return Refund(
            **identity,
            kind=row["kind"],
            status=row["refund_status"],
            reason=row["reason"],
            amount=row["amount"],
            requested_at=row["requested_at"],
            finished_at=row["finished_at"],
            workflow=WorkflowLink(id=refund_workflow_id(row["order_id"], row["attempt"])),
        )
    if row["status"] == OrderStatus.CANCELLED:
        return Refund(
            **identity,
            kind=RefundKind.UNPAID,
            status=RefundStatus.DONE,
            reason=row["cancel_reason"],
            amount=Decimal(),
            requested_at=row["cancelled_at"],
            finished_at=row["cancelled_at"],
            workflow=WorkflowLink(id=team_workflow_id(row["team_id"])),
        )
    return None


def _is_owed(order_status: str, team_status: str) -> bool:
    return order_status == OrderStatus.PAID and team_status == TeamStatus.FAILED


@dataclass(frozen=True, slots=True)
class RefundFilter:
    source: str | None = None
    team_id: str | None = None
    out_trade_no: str | None = None
    kind: RefundKind | None = None
    status: RefundStatus | None = None


async def list_refunds(database: Database, filters: RefundFilter, after: Position | None, limit: int) -> list[OpsRefund]:
    """Returns refunds, every attempt of an order, newest first."""
    conditions = Conditions()
    for name in ("source", "team_id", "out_trade_no"):
        conditions.equal(f"o.{name}", getattr(filters, name))
    for name in ("kind", "status"):
        conditions.equal(f"r.{name}", getattr(filters, name))
    conditions.after("r.requested_at, r.order_id", after)
    sql = f"""
        SELECT r.*, o.source, o.team_id, o.out_trade_no FROM refunds r JOIN orders o USING (order_id)
         WHERE {conditions} ORDER BY r.requested_at DESC, r.order_id DESC LIMIT {int(limit)}
    """
    async with connection(database) as conn:
        rows = await conn.fetch(sql, *conditions.values)
    fields = set(OpsRefund.model_fields) - {"workflow"}
    return [
        OpsRefund(
            **{field: row[field] for field in fields},
            workflow=WorkflowLink(id=refund_workflow_id(row["order_id"], row["attempt"])),
        )
        for row in rows
    ]


def refund_key(refund: OpsRefund) -> tuple[datetime, str]:
    """Returns what the list above is sorted by."""
    return refund.requested_at, refund.order_id
