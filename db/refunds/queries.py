"""Reading refunds as they are now, and what waits for a person."""

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
    """What one read shows of a request to undo an order: enough to answer or to refuse early."""

    source: str
    out_trade_no: str
    order_status: OrderStatus
    team_status: TeamStatus
    window: RefundWindow
    refund: Refund | None
    """the latest, also one that was rejected"""
    attempts: int

    @property
    def is_undone(self) -> bool:
        """The order is, or is being, undone: that is the answer to another request."""
        return self.order_status in {OrderStatus.REFUNDING, OrderStatus.REFUNDED, OrderStatus.CANCELLED}

    @property
    def open_attempt(self) -> int | None:
        """The refund that is under way."""
        return self.attempts if self.order_status is OrderStatus.REFUNDING else None

    @property
    def next_attempt(self) -> int:
        """The number of the refund that a request starts, or finds under way."""
        return self.open_attempt or self.attempts + 1

    def require_window(self, now: datetime, *, force: bool) -> None:
        """Raises Refusal, refund_window_closed, when nothing but force could undo the order now."""
        in_window = self.window.is_open(now)
        if decide_refund(self.order_status, self.team_status, in_window=in_window, force=force) is RefundStep.REFUSE:
            raise self.window.refusal()


PLACE = """
SELECT o.source, o.out_trade_no, o.order_id, o.team_id, o.status, o.cancel_reason, o.cancelled_at, o.paid_amount,
       t.status AS team_status, t.completed_at, t.refund_window, t.failed_at,
       r.attempt, r.kind, r.status AS refund_status, r.reason, r.amount, r.requested_at, r.finished_at
  FROM orders o JOIN teams t USING (team_id)
  LEFT JOIN LATERAL (SELECT * FROM refunds WHERE order_id = o.order_id ORDER BY attempt DESC LIMIT 1) r ON true
"""
PLACE_OF_TRADE = f"{PLACE} WHERE o.source = $1 AND o.out_trade_no = $2"
PLACE_OF_ORDER = f"{PLACE} WHERE o.order_id = $1"


async def look_up_refund(database: Database, source: str, out_trade_no: str) -> RefundLookup | None:
    async with connection(database) as conn:
        row = await conn.fetchrow(PLACE_OF_TRADE, source, out_trade_no)
    return _place(row) if row else None


async def look_up_refund_of_order(database: Database, order_id: str) -> RefundLookup | None:
    async with connection(database) as conn:
        row = await conn.fetchrow(PLACE_OF_ORDER, order_id)
    return _place(row) if row else None


# An unpaid order is undone at once, but its mall may not have heard of it yet; a note says that a person has told it.
IS_UNTOLD = """
r.kind = 'unpaid' AND r.note IS NULL AND EXISTS (
  SELECT FROM events e JOIN deliveries d USING (event_id)
   WHERE e.team_id = o.team_id AND e.order_id = o.order_id AND e.type = 'order.cancelled' AND d.status <> 'delivered')
"""
UNDER_WAY = f"""
SELECT o.source, o.out_trade_no, r.attempt
  FROM orders o LEFT JOIN refunds r ON r.order_id = o.order_id AND (r.finished_at IS NULL OR {IS_UNTOLD})
 WHERE o.order_id = $1 ORDER BY r.attempt
"""


async def refunds_under_way(database: Database, order_id: str) -> list[RefundInput] | None:
    """Those of an order that are not finished, or that the mall has not heard of; None where there is no such order."""
    async with connection(database) as conn:
        rows = await conn.fetch(UNDER_WAY, order_id)
    return [RefundInput(**row) for row in rows if row["attempt"] is not None] if rows else None


def _place(row: Row) -> RefundLookup:
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
    """The latest refund; what ended without one, or has to begin by itself, reads like one."""
    named = {"order_id": row["order_id"], "out_trade_no": row["out_trade_no"]}
    if row["attempt"] is not None:
        return Refund(
            **named,
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
            **named,
            kind=RefundKind.UNPAID,
            status=RefundStatus.DONE,
            reason=row["cancel_reason"],
            amount=Decimal(),
            requested_at=row["cancelled_at"],
            finished_at=row["cancelled_at"],
            workflow=WorkflowLink(id=team_workflow_id(row["team_id"])),
        )
    if row["status"] == OrderStatus.PAID and row["team_status"] == TeamStatus.FAILED:
        return Refund(
            **named,
            kind=RefundKind.PAID_UNFORMED,
            status=RefundStatus.REQUESTED,
            reason="team_failed",
            amount=row["paid_amount"],
            requested_at=row["failed_at"],
            finished_at=None,
            workflow=WorkflowLink(id=refund_workflow_id(row["order_id"], 1)),
        )
    return None


@dataclass(frozen=True, slots=True)
class RefundFilter:
    source: str | None = None
    team_id: str | None = None
    out_trade_no: str | None = None
    kind: RefundKind | None = None
    status: RefundStatus | None = None


async def list_refunds(database: Database, wanted: RefundFilter, after: Position | None, limit: int) -> list[OpsRefund]:
    """Newest first, every attempt."""
    conditions = Conditions()
    for name in ("source", "team_id", "out_trade_no"):
        conditions.equal(f"o.{name}", getattr(wanted, name))
    for name in ("kind", "status"):
        conditions.equal(f"r.{name}", getattr(wanted, name))
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
