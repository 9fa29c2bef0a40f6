"""The check of the invariants (docs/rules.md) that tests, benchmarks, reconciliation and operators share.

A team is checked with all its rows, so that any number of teams can be checked at a time: all of them, or slices of them.
"""

from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from db.core.connection import Connection, Database, Row, connection
from domain.schemas.invariants import Violation

SLICE = 1000
"""teams, and the seats that these may have: a tenth of a second"""


@dataclass(frozen=True, slots=True)
class Horizons:
    """Until when something that follows a commit is under way, and no violation."""

    under_way: timedelta = timedelta(hours=1)
    """a refund that is to begin or to end: longer than mass work takes"""
    retries: timedelta = timedelta(days=4)
    """a delivery: a day longer than it is retried"""

    @classmethod
    def of(cls, give_up: float) -> "Horizons":
        """With the seconds after which a callback is given up."""
        return cls(retries=timedelta(seconds=give_up) + timedelta(days=1))


@dataclass(frozen=True, slots=True)
class TeamSlice:
    """Some teams, in the order in which they were opened."""

    team_ids: tuple[str, ...]
    opened_at: datetime
    """the last one's"""


LATEST = datetime(9999, 1, 1, tzinfo=UTC)
NEWEST_FIRST = """
SELECT team_id, opened_at, target_count FROM teams
 WHERE (opened_at, team_id) < ($1, $2) ORDER BY opened_at DESC, team_id DESC LIMIT $3
"""


async def newest_first(conn: Connection) -> AsyncIterator[TeamSlice]:
    """Yields all teams in slices, the newest first."""
    position = (LATEST, "")
    while rows := await conn.fetch(NEWEST_FIRST, *position, SLICE):
        for slice_ in slices(rows):
            yield slice_
        position = (rows[-1]["opened_at"], rows[-1]["team_id"])


def slices(rows: Iterable[Row]) -> Iterable[TeamSlice]:
    """Splits teams so that a slice has about the same number of seats, however large its teams are."""
    team_ids: list[str] = []
    seats = 0
    for row in rows:
        team_ids.append(row["team_id"])
        seats += row["target_count"]
        if seats >= SLICE:
            yield TeamSlice(tuple(team_ids), row["opened_at"])
            team_ids, seats = [], 0
    if team_ids:
        yield TeamSlice(tuple(team_ids), row["opened_at"])


TEAMS = "SELECT * FROM groupbuy_team_violations($1, $2, $3, $4)"
CAMPAIGNS = "SELECT * FROM groupbuy_campaign_violations()"
EVERYTHING = "SELECT * FROM groupbuy_invariants($1, $2, $3)"


async def team_violations(
    conn: Connection, team_ids: Iterable[str], now: datetime, horizons: Horizons
) -> dict[str, list[Violation]]:
    """Returns the violations in the rows of these teams, by team."""
    found: dict[str, list[Violation]] = {}
    for row in await conn.fetch(TEAMS, list(team_ids), now, horizons.under_way, horizons.retries):
        found.setdefault(row["team_id"], []).append(_violation(row))
    return found


async def campaign_violations(conn: Connection) -> list[Violation]:
    """Returns the violations in what all teams of a campaign share. It counts all orders."""
    return [_violation(row) for row in await conn.fetch(CAMPAIGNS)]


async def violations(database: Database, now: datetime | None = None, horizons: Horizons | None = None) -> list[Violation]:
    """Returns the invariants that are violated, of all teams and in one snapshot; empty if all hold.

    Args:
        database: the database.
        now: None: what the clock says.
        horizons: None: the usual ones.
    """
    now, horizons = now or datetime.now(UTC), horizons or Horizons()
    async with connection(database) as conn:
        return [_violation(row) for row in await conn.fetch(EVERYTHING, now, horizons.under_way, horizons.retries)]


def _violation(row: Row) -> Violation:
    return Violation(invariant=row["invariant"], subject=row["subject"], detail=row["detail"])
