"""Converts rows of a team and its orders to messages."""

from collections.abc import Iterable

from db.core.connection import Connection, Row, fetch_one
from domain.lifecycle import OrderStatus, RefundWindow, TeamStatus
from domain.messages.teams import SeatRow, TeamRow
from domain.seats import keep_until

COLUMNS = "status, version, deadline, completed_at, refund_window"
"""of `teams`, as `team_row` reads them"""

TEAM = f"SELECT {COLUMNS} FROM teams WHERE team_id = $1"
SEATS = """
SELECT o.out_trade_no, o.user_id, o.status, o.live, o.lock_expires_at, t.payment_grace
  FROM orders o JOIN teams t USING (team_id) WHERE o.team_id = $1 AND o.out_trade_no = ANY($2::text[])
"""


def team_row(row: Row) -> TeamRow:
    """Converts a row with COLUMNS."""
    has_failed = row["status"] == TeamStatus.FAILED
    return TeamRow(
        status=row["status"],
        version=row["version"],
        deadline=row["deadline"],
        refund_until=None if has_failed else RefundWindow(row["completed_at"], row["refund_window"]).end,
    )


def seat_row(row: Row) -> SeatRow:
    """Converts a row of SEATS."""
    is_unpaid = row["status"] == OrderStatus.LOCKED
    return SeatRow(
        out_trade_no=row["out_trade_no"],
        user_id=row["user_id"],
        status=row["status"],
        live=row["live"],
        keep_until=keep_until(row["lock_expires_at"], row["payment_grace"]) if is_unpaid else None,
    )


async def read_team_row(conn: Connection, team_id: str) -> TeamRow:
    return team_row(await fetch_one(conn, TEAM, team_id))


async def read_seats(conn: Connection, team_id: str, out_trade_nos: Iterable[str]) -> list[SeatRow]:
    """Returns one entry per number; an order that the team does not have has no status."""
    numbers = list(dict.fromkeys(out_trade_nos))
    found = {row["out_trade_no"]: seat_row(row) for row in await conn.fetch(SEATS, team_id, numbers)} if numbers else {}
    return [found.get(number) or SeatRow(out_trade_no=number) for number in numbers]
