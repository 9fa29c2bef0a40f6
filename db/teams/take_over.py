"""Reads from the rows what a team's workflow has to know and to do."""

from db.core.connection import Connection, Database, connection
from db.core.planner_hints import IS_PENDING
from db.teams.rows import TEAM, seat_row, team_row
from domain.lifecycle import OrderStatus, TeamStatus
from domain.messages.teams import SeatRow, TakeOver, TeamAnswer, TeamRows
from domain.seats import LAPSES_PER_SECOND, LONGEST_DELAY, delayed_lapse, keep_until

LIVE_SEATS = """
SELECT o.out_trade_no, o.user_id, o.status, o.live, o.locked_at, o.lock_expires_at, t.deadline, t.payment_grace
  FROM orders o JOIN teams t USING (team_id) WHERE o.team_id = $1 AND o.live ORDER BY o.locked_at, o.out_trade_no
"""
# Events of a refund, and the cancellation of an order by its buyer or an operator, are delivered by the refund's workflow.
UNDELIVERED = f"""
SELECT DISTINCT e.event_id FROM events e JOIN deliveries d USING (event_id)
 WHERE e.team_id = $1 AND d.{IS_PENDING} AND e.type NOT IN ('order.refund_requested', 'order.refunded')
   AND NOT (e.type = 'order.cancelled' AND EXISTS (SELECT FROM refunds r WHERE r.order_id = e.order_id AND r.kind = 'unpaid'))
 ORDER BY e.event_id
"""
TAKEN_BEFORE = """
SELECT extract(epoch FROM $1::timestamptz - max(locked_at))::float AS ago
  FROM (
    SELECT team_id, locked_at FROM orders
     WHERE locked_at BETWEEN $1::timestamptz - $3::interval AND $1 AND status = 'locked'
       AND (locked_at, team_id) < ($1, $2) AND team_id <> $2
     ORDER BY locked_at DESC LIMIT $4
  ) seats
 GROUP BY team_id ORDER BY 1
"""
OWED = "SELECT count(*) FROM orders WHERE team_id = $1 AND status = 'paid'"
HAS_WAKEUP = "SELECT EXISTS (SELECT FROM team_wakeups WHERE team_id = $1)"
LOCK_TEAM = "SELECT FROM teams WHERE team_id = $1 FOR UPDATE"
DELETE_WAKEUP = "DELETE FROM team_wakeups WHERE team_id = $1 RETURNING locks, payments"
TAKEN_OVER = "UPDATE teams SET taken_over_at = $2 WHERE team_id = $1 AND admitted = 'direct' AND taken_over_at IS NULL"


async def take_over(database: Database, request: TakeOver) -> TeamRows:
    """Reads a team's rows at one moment, so that version and seats belong together, and deletes its wake-up.

    Whoever leaves a wake-up holds the lock of the team's row. So it can be deleted under that lock after the rows were read,
    and a later change leaves another one.
    """
    async with connection(database) as conn:
        if not await conn.fetchval(HAS_WAKEUP, request.team_id):
            return await _read_in_one_snapshot(conn, request.team_id)
        async with conn.transaction():
            await conn.execute(LOCK_TEAM, request.team_id)
            rows = await _read_rows(conn, request.team_id)
            admitted = await conn.fetchrow(DELETE_WAKEUP, request.team_id)
            await conn.execute(TAKEN_OVER, request.team_id, request.now)
    return rows.model_copy(update=dict(admitted)) if admitted else rows


async def read_rows(database: Database, team_id: str) -> TeamRows:
    """Reads what `take_over` reads, and changes nothing."""
    async with connection(database) as conn:
        return await _read_in_one_snapshot(conn, team_id)


async def _read_in_one_snapshot(conn: Connection, team_id: str) -> TeamRows:
    async with conn.transaction(isolation="repeatable_read", readonly=True):
        return await _read_rows(conn, team_id)


async def _read_rows(conn: Connection, team_id: str) -> TeamRows:
    team = await conn.fetchrow(TEAM, team_id)
    if team is None:
        return TeamRows()
    seats = await _read_live_seats(conn, team_id)
    events = [row["event_id"] for row in await conn.fetch(UNDELIVERED, team_id)]
    has_failed = team["status"] == TeamStatus.FAILED
    owed: int = await conn.fetchval(OWED, team_id) if has_failed else 0
    return TeamRows(rows=TeamAnswer(team=team_row(team), seats=seats, event_ids=events), owed=owed)


MOST_READ = 2 * LAPSES_PER_SECOND * int(LONGEST_DELAY.total_seconds())
"""unpaid seats, none of them taken more than LONGEST_DELAY before; that many delay the next one for that long"""


async def _read_live_seats(conn: Connection, team_id: str) -> list[SeatRow]:
    """Reads the seats, those of a crowd with a time of their own at which they lapse."""
    rows = await conn.fetch(LIVE_SEATS, team_id)
    seats = [seat_row(row) for row in rows]
    unpaid = [row["locked_at"] for row in rows if row["status"] == OrderStatus.LOCKED]
    if not unpaid:
        return seats
    taken_before = [row["ago"] for row in await conn.fetch(TAKEN_BEFORE, max(unpaid), team_id, LONGEST_DELAY, MOST_READ)]
    decided_by = keep_until(rows[0]["deadline"], rows[0]["payment_grace"])
    return [
        seat.model_copy(update={"keep_until": delayed_lapse(seat.keep_until, taken_before, decided_by)})
        if seat.keep_until is not None
        else seat
        for seat in seats
    ]
