"""Who bears the discounts: unearned discounts are booked by team, and each mall's trade is counted by day from the rows."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from db.core.connection import Connection, Database, Row, connection, fetch_one, transaction
from db.core.pagination import Conditions, Position
from db.orders.release import LOCK_TEAM
from db.reconciliation.conditions import WINDOW_END
from domain.schemas.invariants import Violation
from domain.schemas.settlements import MonthlySettlement
from domain.settlements import Borne, members_needed, unearned_discount

# --- unearned discounts ---

# As the condition of teams_unbooked_idx.
UNBOOKED = f"""
SELECT team_id FROM teams
 WHERE completed_at IS NOT NULL AND status <> 'completed' AND unearned_booked_at IS NULL
   AND {WINDOW_END} <= $1 AT TIME ZONE 'UTC'
 ORDER BY {WINDOW_END}, team_id LIMIT $2
"""


async def unbooked_teams(database: Database, now: datetime, limit: int) -> list[str]:
    """Returns completed teams that members left, whose refund window is over and whose unearned discount is not booked."""
    async with connection(database) as conn:
        return [row["team_id"] for row in await conn.fetch(UNBOOKED, now, limit)]


STAYED = "SELECT deduction, merchant_deduction FROM orders WHERE team_id = $1 AND live"
DEPARTED = """
SELECT count(*) FROM refunds r JOIN orders o USING (order_id)
 WHERE o.team_id = $1 AND r.kind = 'paid_formed' AND r.released_at IS NOT NULL
"""
BOOKED = """
SELECT count(*) AS bookings, coalesce(sum(merchant), 0) AS merchant, coalesce(sum(platform), 0) AS platform
  FROM unearned_discounts WHERE team_id = $1
"""
BOOK = """
INSERT INTO unearned_discounts (team_id, booking, source, booked_at, needed, stayed, merchant, platform)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
"""
IS_BOOKED = "UPDATE teams SET unearned_booked_at = $2 WHERE team_id = $1"


async def book_unearned_discount(database: Database, team_id: str, now: datetime) -> Borne | None:
    """Books what a completed team did not earn, less what was booked before; returns the difference, None if it is booked.

    Safe to repeat. A member who leaves later makes the team due again.
    """
    async with transaction(database) as conn:
        team = await fetch_one(conn, LOCK_TEAM, team_id)
        if team["unearned_booked_at"] is not None:
            return None
        stayed = [_borne(row) for row in await conn.fetch(STAYED, team_id)]
        completed_with = len(stayed) + await conn.fetchval(DEPARTED, team_id)
        needed = members_needed(team["target_count"], team["min_count"], completed_with)
        before = await fetch_one(conn, BOOKED, team_id)
        difference = unearned_discount(stayed, needed) - Borne(before["merchant"], before["platform"])
        if difference != Borne():
            values = (team["source"], now, needed, len(stayed), difference.merchant, difference.platform)
            await conn.execute(BOOK, team_id, before["bookings"] + 1, *values)
        await conn.execute(IS_BOOKED, team_id, now)
        return difference


def _borne(order: Row) -> Borne:
    return Borne(order["merchant_deduction"], order["deduction"] - order["merchant_deduction"])


# --- the count of a day ---

SUMS = [name for name in MonthlySettlement.model_fields if name not in ("month", "source", "counted_at")]
STORE_DAY = f"""
WITH counted AS (
  SELECT $1::date AS day, s.*, $4::timestamptz AS counted_at FROM groupbuy_settlement($2, $3) s
), removed AS (
  DELETE FROM daily_settlements d WHERE day = $1 AND NOT EXISTS (SELECT FROM counted WHERE counted.source = d.source)
)
INSERT INTO daily_settlements (day, source, {", ".join(SUMS)}, counted_at)
SELECT day, source, {", ".join(SUMS)}, counted_at FROM counted
ON CONFLICT (day, source) DO UPDATE
   SET ({", ".join(SUMS)}, counted_at) = ({", ".join(f"excluded.{name}" for name in [*SUMS, "counted_at"])})
"""


async def count_settlements(database: Database, day: date, now: datetime) -> None:
    """Counts a day (UTC) of every mall, and replaces what was counted of it before."""
    begin = datetime.combine(day, time(), UTC)
    async with transaction(database) as conn:
        await conn.execute(STORE_DAY, day, begin, begin + timedelta(days=1), now)


VIOLATIONS = "SELECT * FROM groupbuy_settlement_violations($1, $1, $2)"


async def settlement_violations(conn: Connection, day: date, under_way: timedelta) -> list[Violation]:
    """Returns where the sums of a day that is counted are not those of the orders."""
    return [Violation(**row) for row in await conn.fetch(VIOLATIONS, day, under_way)]


# --- the report ---


@dataclass(frozen=True, slots=True)
class SettlementFilter:
    since: str
    until: str
    """the first and the last month, as 2026-01"""
    source: str | None = None
    """None: every mall"""


async def list_settlements(
    database: Database, filters: SettlementFilter, after: Position | None, limit: int
) -> list[MonthlySettlement]:
    """Returns the months of each mall that has any, the latest first."""
    conditions = Conditions()
    conditions.equal("source", filters.source)
    conditions.at_least("day", _first_day(filters.since))
    until = _first_day(filters.until)
    last = min(until, after.moment.date()) if after else until
    conditions.add("day < ({}::date + interval '1 month')", last)
    page = Conditions()
    page.values = conditions.values
    page.after("month, source", after)
    sums = ", ".join(f"sum({name}) AS {name}" for name in SUMS)
    sql = f"""
        SELECT to_char(month AT TIME ZONE 'UTC', 'YYYY-MM') AS month, source, {", ".join(SUMS)}, counted_at FROM (
          SELECT date_trunc('month', day::timestamp) AT TIME ZONE 'UTC' AS month, source, {sums}, max(counted_at) AS counted_at
            FROM daily_settlements WHERE {conditions} GROUP BY 1, 2) m
         WHERE {page} ORDER BY m.month DESC, source DESC LIMIT {int(limit)}
    """
    async with connection(database) as conn:
        return [MonthlySettlement(**row) for row in await conn.fetch(sql, *page.values)]


def settlement_key(settlement: MonthlySettlement) -> tuple[datetime, str]:
    """Returns what the list above is sorted by."""
    return datetime.combine(_first_day(settlement.month), time(), UTC), settlement.source


def _first_day(month: str) -> date:
    return date.fromisoformat(f"{month}-01")
