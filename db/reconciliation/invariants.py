"""The check of the invariants where it must not take long: for operators in a limited time, by reconciliation in slices."""

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import partial
from itertools import chain, islice
from typing import TypeVar

import asyncpg

from db.core.connection import Connection, Database, connection
from db.core.invariants import SLICE, Horizons, TeamSlice, campaign_violations, newest_first, slices, team_violations
from db.reconciliation.cursors import BEGIN, Cursor, read_cursor
from db.settlements import count_settlements, settlement_violations
from domain.schemas.invariants import InvariantCheck, Violation
from domain.statistics import KEPT_DAYS

AnswerT = TypeVar("AnswerT")

NAME = "invariants"
SLICES = 40
"""slices of one run of reconciliation: one or two seconds"""
SUSPECTS = 500
SETTLEMENT = "settlement of "
"""how subjects begin in which a settlement is wrong"""
CAMPAIGNS = "campaigns"
"""the subject where what teams share cannot be checked"""

# Teams in which something was wrong before, whose money is owed for long, or whose refund, delivery or take-over is late:
# wherever they are in the order of all teams. Each of these has a small index.
SUSPECT_TEAMS = """
(SELECT t.team_id, t.opened_at, t.target_count FROM reconciliation_findings f JOIN teams t ON t.team_id = f.subject
  WHERE f.kind = 'invariant' LIMIT $2)
UNION
(SELECT team_id, opened_at, target_count FROM teams WHERE status = 'failed' AND complete_count > 0 AND failed_at < $1 LIMIT $2)
UNION
(SELECT t.team_id, t.opened_at, t.target_count FROM refunds r JOIN orders o USING (order_id) JOIN teams t USING (team_id)
  WHERE r.finished_at IS NULL AND r.status <> 'attention' AND r.requested_at < $1 LIMIT $2)
UNION
(SELECT t.team_id, t.opened_at, t.target_count FROM deliveries d JOIN events e USING (event_id) JOIN teams t USING (team_id)
  WHERE d.status = 'pending' AND d.next_attempt_at < $1 ORDER BY d.next_attempt_at LIMIT $2)
UNION
(SELECT t.team_id, t.opened_at, t.target_count FROM team_wakeups w JOIN teams t USING (team_id)
  WHERE w.since < $1 ORDER BY w.since LIMIT $2)
"""
FOUND = """
SELECT f.subject, f.detail, t.team_id IS NOT NULL AS is_team
  FROM reconciliation_findings f LEFT JOIN teams t ON t.team_id = f.subject WHERE f.kind = 'invariant'
"""
ESTIMATED_ORDERS = "SELECT reltuples::bigint FROM pg_class WHERE oid = 'orders'::regclass"
ORDERS_A_RUN = 500_000
"""What teams share is checked by counting all orders: in every run up to so many, in every second one up to twice as many."""
OTHERS_SINCE = "SELECT last_begun_at FROM reconciliation_cursors WHERE name = $1"


async def check_invariants(database: Database, now: datetime, horizons: Horizons, within: timedelta) -> InvariantCheck:
    """Checks as much as it can in a limited time: what teams share, then what is suspicious, then the newest teams."""
    began = time.monotonic()
    half, end = began + within.total_seconds() / 2, began + within.total_seconds()
    found: dict[Violation, None] = {}
    opened_since: datetime | None = now
    async with connection(database) as conn:

        async def check(slice_: TeamSlice) -> bool:
            of_teams = await _in_time(conn, end, partial(team_violations, conn, slice_.team_ids, now, horizons))
            found.update(dict.fromkeys(chain.from_iterable((of_teams or {}).values())))
            return of_teams is not None

        in_campaigns = await _in_time(conn, half, partial(campaign_violations, conn))
        found.update(dict.fromkeys(await _found_in_campaigns(conn) if in_campaigns is None else in_campaigns))
        suspects = await _in_time(conn, end, partial(conn.fetch, SUSPECT_TEAMS, now - horizons.under_way, SUSPECTS))
        for slice_ in slices(suspects or ()):
            await check(slice_)
        async for slice_ in newest_first(conn):
            if not await check(slice_):
                break
            opened_since = slice_.opened_at
        else:
            opened_since = None
        complete = opened_since is None and in_campaigns is not None
        others_since: datetime | None = None if complete else await conn.fetchval(OTHERS_SINCE, NAME)
    return InvariantCheck(violations=list(found), complete=complete, opened_since=opened_since, others_since=others_since)


async def _found_in_campaigns(conn: Connection) -> list[Violation]:
    """Returns what reconciliation has found, which has more time."""
    found = [row for row in await conn.fetch(FOUND) if not row["is_team"] and row["subject"] != CAMPAIGNS]
    return [
        Violation(invariant=9 if row["subject"].startswith(SETTLEMENT) else 5, subject=row["subject"], detail=row["detail"])
        for row in found
    ]


async def _in_time(conn: Connection, until: float, query: Callable[[], Awaitable[AnswerT]]) -> AnswerT | None:
    """Returns the answer of a query that ends in time, else None."""
    milliseconds = round((until - time.monotonic()) * 1000)
    if milliseconds <= 0:
        return None
    try:
        async with conn.transaction(readonly=True):
            await conn.execute("SELECT set_config('statement_timeout', $1, true)", str(milliseconds))
            return await query()
    except asyncpg.QueryCanceledError:
        return None


OLDEST_FIRST = """
SELECT team_id, opened_at, target_count FROM teams
 WHERE (opened_at, team_id) > ($1, $2) ORDER BY opened_at, team_id LIMIT $3
"""


@dataclass(frozen=True, slots=True)
class Turn:
    """What reconciliation checks in one run."""

    found_in_teams: set[str]
    found_in_campaigns: set[str]
    found_in_settlement: set[str]
    """subjects with which something was wrong before"""
    settlement_day: date
    """the day whose settlement is checked"""
    checks_campaigns: bool
    slices: list[TeamSlice]
    cursor: Cursor
    """where the next run goes on"""


async def next_turn(database: Database, now: datetime, horizons: Horizons) -> Turn:
    """Returns suspicious teams, and the next ones in the order in which all teams are checked in turn."""
    async with connection(database) as conn:
        found = await conn.fetch(FOUND)
        suspects = list(slices(await conn.fetch(SUSPECT_TEAMS, now - horizons.under_way, SUSPECTS)))
        estimated: int = await conn.fetchval(ESTIMATED_ORDERS)
        cursor = await read_cursor(conn, NAME)
        rows = await conn.fetch(OLDEST_FIRST, cursor.at, cursor.id, SLICES * SLICE // 2)  # a team has at least two seats
    following = list(islice(slices(rows), SLICES))
    last = following[-1] if following else None
    is_end = last is None or last.team_ids[-1] == rows[-1]["team_id"]
    after = BEGIN if last is None or is_end else Cursor(last.opened_at, last.team_ids[-1])
    in_teams = {row["subject"] for row in found if row["is_team"]}
    in_settlements = {row["subject"] for row in found if row["subject"].startswith(SETTLEMENT)}
    # Another day in every minute, until all have had their turn.
    minute = int(now.timestamp()) // 60
    day = now.date() - timedelta(days=1 + minute % KEPT_DAYS)
    return Turn(
        found_in_teams=in_teams,
        found_in_campaigns={row["subject"] for row in found} - in_teams - in_settlements,
        found_in_settlement={subject for subject in in_settlements if subject.endswith(f" on {day}")},
        settlement_day=day,
        checks_campaigns=minute % runs_between_counts(estimated) == 0,
        slices=suspects + following,
        cursor=after,
    )


def runs_between_counts(orders: int) -> int:
    """Returns how often all orders are counted, so that this takes the same share of the time however many there are."""
    return max(-(-orders // ORDERS_A_RUN), 1)


async def check_slice(database: Database, slice_: TeamSlice, now: datetime, horizons: Horizons) -> dict[str, list[Violation]]:
    """Returns the violations in these teams, by team."""
    async with connection(database) as conn:
        return await team_violations(conn, slice_.team_ids, now, horizons)


async def check_settlement(database: Database, day: date, now: datetime, horizons: Horizons) -> list[Violation]:
    """Returns the violations in the settlements of a day, after it was counted again if there seemed to be any.

    A row may commit with a time of a day that is counted already; the next count has it.
    """
    if not await _settlement_violations(database, day, horizons):
        return []
    await count_settlements(database, day, now)
    return await _settlement_violations(database, day, horizons)


async def _settlement_violations(database: Database, day: date, horizons: Horizons) -> list[Violation]:
    async with connection(database) as conn:
        return await settlement_violations(conn, day, horizons.under_way)


async def check_campaigns(database: Database) -> list[Violation]:
    """Returns the violations in what all teams of a campaign share."""
    async with connection(database) as conn:
        return await campaign_violations(conn)
