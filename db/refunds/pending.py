"""Refunds that still have to be started, and those that no workflow has worked on for some time."""

from datetime import datetime

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
OWED_BY_FAILED_TEAMS = f"{OWED} AND t.complete_count > 0 AND t.failed_at < $1 ORDER BY t.failed_at LIMIT $2"


async def owed_by_team(database: Database, team_id: str, after: str, limit: int) -> list[RefundInput]:
    """Returns the paid orders of a failed team without a refund, by out_trade_no, those greater than `after`."""
    async with connection(database) as conn:
        return _to_start(await conn.fetch(OWED_BY_TEAM, team_id, after, limit))


async def count_owed(database: Database, team_id: str, until: str) -> int:
    """Counts the same up to an out_trade_no: where their workflows were started, those that have not begun."""
    async with connection(database) as conn:
        return int(await conn.fetchval(COUNT_OWED, team_id, until))


async def owed_by_failed_teams(database: Database, since: datetime, limit: int) -> list[RefundInput]:
    """Returns the same of every team that failed before a moment."""
    async with connection(database) as conn:
        return _to_start(await conn.fetch(OWED_BY_FAILED_TEAMS, since, limit))


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
    )


UNFINISHED = """
UPDATE refunds r SET checked_at = $1
  FROM orders o
 WHERE o.order_id = r.order_id
   AND (r.order_id, r.attempt) IN (SELECT order_id, attempt FROM refunds WHERE finished_at IS NULL AND checked_at < $2
                                    ORDER BY checked_at LIMIT $3)
RETURNING o.source, o.out_trade_no, r.attempt
"""


async def unfinished_refunds(database: Database, now: datetime, since: datetime, limit: int) -> list[RefundInput]:
    """Returns the refunds not checked since a moment, and marks them checked, for a restart of missing workflows."""
    async with connection(database) as conn:
        return _to_start(await conn.fetch(UNFINISHED, now, since, limit))


def _to_start(rows: list[Row]) -> list[RefundInput]:
    return [RefundInput(source=row["source"], out_trade_no=row["out_trade_no"], attempt=row["attempt"]) for row in rows]
