"""Refunds that still have to be started."""

from db.core.connection import Connection, Database, Row, connection, transaction
from db.orders.release import LOCK_TEAM
from db.settings.audit import find_outcome, record_act
from domain.lifecycle import OrderStatus, RefundStep, RefundWindow, TeamStatus, decide_refund
from domain.messages.acts import Outcome
from domain.messages.refunds import RefundByOperator, RefundInput

OWED = """
SELECT o.source, o.out_trade_no, 1 + (SELECT count(*) FROM refunds r WHERE r.order_id = o.order_id) AS attempt
  FROM orders o JOIN teams t USING (team_id)
 WHERE t.status = 'failed' AND o.status = 'paid'
"""
OWED_BY_TEAM = f"{OWED} AND t.team_id = $1 AND o.out_trade_no > $2 ORDER BY o.out_trade_no LIMIT $3"
COUNT_OWED = """
SELECT count(*) FROM orders o JOIN teams t USING (team_id)
 WHERE t.status = 'failed' AND o.status = 'paid' AND t.team_id = $1 AND o.out_trade_no <= $2
"""


async def owed_by_team(database: Database, team_id: str, after: str, limit: int) -> list[RefundInput]:
    """Returns the paid orders of a failed team without a refund, by out_trade_no, those greater than `after`."""
    async with connection(database) as conn:
        return _to_start(await conn.fetch(OWED_BY_TEAM, team_id, after, limit))


async def count_owed(database: Database, team_id: str, until: str) -> int:
    """Counts the same up to an out_trade_no: where their workflows were started, those that have not begun."""
    async with connection(database) as conn:
        return int(await conn.fetchval(COUNT_OWED, team_id, until))


BY_OPERATOR = """
SELECT o.order_id, o.source, o.status, t.status AS team_status, t.completed_at, t.refund_window,
       (SELECT count(*) FROM refunds r WHERE r.order_id = o.order_id) AS attempts
  FROM orders o JOIN teams t USING (team_id) WHERE t.team_id = $1 AND o.out_trade_no = $2
"""


async def refund_by_operator(database: Database, request: RefundByOperator) -> RefundInput | Outcome:
    """Returns the refund to start, which records the operator's act; where there is none to start, records why."""
    async with transaction(database) as conn:
        await conn.execute(LOCK_TEAM, request.team_id)  # attempts of one activity do not overlap: the act is recorded once
        order = await conn.fetchrow(BY_OPERATOR, request.team_id, request.out_trade_no)
        if order is None:
            return await _record(conn, f"team/{request.team_id}", request, "This team has no such order.")
        subject = f"refund/{order['order_id']}"
        in_window = RefundWindow(order["completed_at"], order["refund_window"]).is_open(request.now)
        match decide_refund(OrderStatus(order["status"]), TeamStatus(order["team_status"]), in_window=in_window, force=False):
            case RefundStep.NO_CHANGE:
                return await _record(conn, subject, request, f"The order is {order['status']} already.")
            case RefundStep.REFUSE:
                detail = "The refund window is over: start a RefundWorkflow with force, or ask the API to."
                return await _record(conn, subject, request, detail)
    return RefundInput(
        source=order["source"],
        out_trade_no=request.out_trade_no,
        reason=request.act.reason,
        operator=request.act.author.operator,
        act=request.act,
        attempt=order["attempts"] + 1,
        requested_at=request.now,
    )


async def _record(conn: Connection, subject: str, request: RefundByOperator, detail: str) -> Outcome:
    earlier = await find_outcome(conn, subject, request.act)
    outcome = earlier or Outcome(changed=False, detail=detail)
    return earlier or await record_act(conn, subject, "refund", request.act, outcome, request.now)


def _to_start(rows: list[Row]) -> list[RefundInput]:
    return [RefundInput(source=row["source"], out_trade_no=row["out_trade_no"], attempt=row["attempt"]) for row in rows]
