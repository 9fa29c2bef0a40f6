"""Refunds that still have to be started."""

from db.core.connection import Database, Row, connection
from domain.lifecycle import OrderStatus, RefundStep, RefundWindow, TeamStatus, decide_refund
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
SELECT o.source, o.status, t.status AS team_status, t.completed_at, t.refund_window,
       (SELECT count(*) FROM refunds r WHERE r.order_id = o.order_id) AS attempts
  FROM orders o JOIN teams t USING (team_id) WHERE t.team_id = $1 AND o.out_trade_no = $2
"""


async def refund_by_operator(database: Database, request: RefundByOperator) -> RefundInput | str:
    """Returns the refund to start for an operator's request, or why there is none to start."""
    async with connection(database) as conn:
        order = await conn.fetchrow(BY_OPERATOR, request.team_id, request.out_trade_no)
    if order is None:
        return "this team has no such order"
    in_window = RefundWindow(order["completed_at"], order["refund_window"]).is_open(request.now)
    match decide_refund(OrderStatus(order["status"]), TeamStatus(order["team_status"]), in_window=in_window, force=False):
        case RefundStep.NO_CHANGE:
            return f"the order is {order['status']} already"
        case RefundStep.REFUSE:
            return "the refund window is over: start a RefundWorkflow with force, or ask the API to"
    return RefundInput(
        source=order["source"],
        out_trade_no=request.out_trade_no,
        reason=request.reason,
        operator=request.operator or "operator",
        attempt=order["attempts"] + 1,
        requested_at=request.now,
    )


def _to_start(rows: list[Row]) -> list[RefundInput]:
    return [RefundInput(source=row["source"], out_trade_no=row["out_trade_no"], attempt=row["attempt"]) for row in rows]
