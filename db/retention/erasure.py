"""Erases a user's id: a pseudonym takes its place in the rows that are kept, and the user leaves the audiences."""

from datetime import datetime

from db.core.connection import Connection, Database, Row, transaction
from db.retention.archive import RENAME_USER
from db.settings.audit import record_act
from domain.lifecycle import OrderStatus, TeamStatus
from domain.messages.acts import Act, Outcome
from domain.retention import is_under_way


class OrdersUnderWay(Exception):
    """The user has orders that are under way, or that could still be given back."""


# No seat is taken or released meanwhile, or a quota would be renamed without its order. One erasure at a time.
BLOCK_SEAT_CHANGES = "LOCK TABLE user_quotas IN SHARE ROW EXCLUSIVE MODE"
ORDERS = """
SELECT o.out_trade_no, o.status, t.status AS team_status, t.completed_at + t.refund_window * interval '1 second' AS window_end
  FROM orders o JOIN teams t USING (team_id) WHERE o.user_id = $2 AND o.source = $1 ORDER BY o.out_trade_no
"""
RENAME_ORDERS = "UPDATE orders SET user_id = $3 WHERE user_id = $2 AND source = $1"
# By the key of each campaign: the table has no index by user.
RENAME_QUOTAS = """
UPDATE user_quotas q SET user_id = $3
  FROM campaigns c WHERE q.campaign_id = c.campaign_id AND q.source = $1 AND q.user_id = $2
"""
# An audience names users of any mall.
LEAVE_AUDIENCES = """
WITH left_import AS (
  DELETE FROM audience_members m USING audience_imports i
   WHERE m.import_id = i.import_id AND m.user_id = $2 AND NOT EXISTS (SELECT FROM orders WHERE user_id = $2 AND source <> $1)
  RETURNING m.import_id
), counted AS (
  UPDATE audience_imports i SET member_count = member_count - 1 FROM left_import l WHERE i.import_id = l.import_id
)
UPDATE audiences a SET member_count = member_count - 1 FROM left_import l WHERE a.import_id = l.import_id
"""
FORGET_LAST_USER = "UPDATE audience_imports SET last_user = '' WHERE last_user = $1 AND status <> 'running'"


async def erase_user(database: Database, source: str, user_id: str, pseudonym: str, act: Act, now: datetime) -> Outcome:
    """Replaces a user's id by a pseudonym, and records that without naming the user.

    Raises:
        OrdersUnderWay: nothing was changed.
    """
    async with transaction(database) as conn:
        await conn.execute(BLOCK_SEAT_CHANGES)
        orders = await conn.fetch(ORDERS, source, user_id)
        under_way = [row["out_trade_no"] for row in orders if _is_under_way(row, now)]
        if under_way:
            raise OrdersUnderWay(", ".join(under_way))
        return await _erase(conn, source, user_id, pseudonym, act, now)


def _is_under_way(row: Row, now: datetime) -> bool:
    return is_under_way(OrderStatus(row["status"]), TeamStatus(row["team_status"]), row["window_end"], now)


async def _erase(conn: Connection, source: str, user_id: str, pseudonym: str, act: Act, now: datetime) -> Outcome:
    orders = _count(await conn.execute(RENAME_ORDERS, source, user_id, pseudonym))
    quotas = _count(await conn.execute(RENAME_QUOTAS, source, user_id, pseudonym))
    archived = _count(await conn.execute(RENAME_USER, source, user_id, pseudonym))
    audiences = _count(await conn.execute(LEAVE_AUDIENCES, source, user_id))
    await conn.execute(FORGET_LAST_USER, user_id)
    detail = f"a user of {source}: {orders} order(s), {archived} archived team(s), {quotas} quota(s), {audiences} audience(s)"
    outcome = Outcome(changed=bool(orders or archived or quotas or audiences), detail=detail)
    return await record_act(conn, f"user/{pseudonym}", "erase", act, outcome, now)


def _count(tag: str) -> int:
    return int(tag.rpartition(" ")[2])
