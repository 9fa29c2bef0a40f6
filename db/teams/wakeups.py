"""Wake-ups: left in the transaction that changes a team's rows, claimed by dispatchers, deleted when the rows are taken over.

Row locks are taken in one order everywhere: team, its wake-up, orders, user quotas, campaign stock.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

from db.core.connection import Connection, Database, connection, transaction
from db.core.planner_hints import IS_PENDING
from domain.wakeups import ATTEMPTS, FIRST_PAUSE, LONGEST_PAUSE, RUSH, Urgency

ADMITTED_DIRECTLY = ", admitted = 'direct', taken_over_at = NULL"
"""SQL: what a direct change also sets in the team's row"""
ADD_TO_EARLIER = """
ON CONFLICT (team_id) DO UPDATE
   SET due_at = least(w.due_at, excluded.due_at), urgency = greatest(w.urgency, excluded.urgency),
       locks = w.locks + excluded.locks, payments = w.payments + excluded.payments,
       next_try_at = CASE WHEN w.attempts = 0 THEN least(w.next_try_at, excluded.next_try_at) ELSE w.next_try_at END
"""


def wakeup_step(team: str, *, now: str, due_at: str, locks: int = 0, payments: int = 0) -> str:
    """Returns SQL that leaves a wake-up for a team that was changed directly.

    Args:
        team: the step of the same statement that has locked and changed the team's row, with its team_id.
        now: SQL, when.
        due_at: SQL, when the team's workflow has something to do.
        locks: how many seats the statement admits.
        payments: how many payments it admits.
    """
    return f"""
  INSERT INTO team_wakeups AS w (team_id, since, due_at, urgency, locks, payments, next_try_at)
  SELECT team.team_id, {now}, {due_at}, {int(Urgency.SEATS)}, {locks}, {payments}, {now} FROM {team} AS team {ADD_TO_EARLIER}
"""


LEAVE = f"""
INSERT INTO team_wakeups AS w (team_id, since, due_at, urgency, locks, payments, next_try_at)
VALUES ($1, $2::timestamptz, $2, $3, 0, $4, $2::timestamptz + $5::interval) {ADD_TO_EARLIER}
"""
HINT_FIRST = timedelta(seconds=2)
"""the time that a hint, sent to the workflow after the commit, has to make the wake-up superfluous"""


async def leave_wakeup(
    conn: Connection,
    team_id: str,
    now: datetime,
    *,
    urgency: Urgency = Urgency.SEATS,
    payments: int = 0,
    after: timedelta = HINT_FIRST,
) -> None:
    """Leaves a wake-up, in a transaction that holds the team's row lock and changes the team or its seats.

    Args:
        conn: in that transaction.
        team_id: the team.
        now: when.
        urgency: what came of the change.
        payments: how many payments it admitted directly.
        after: how long nobody is told, because the caller sends the workflow a hint.
    """
    await conn.execute(LEAVE, team_id, now, urgency, payments, after)


LEAVE_ALL = """
WITH team AS (
  SELECT team_id FROM teams WHERE team_id = ANY($1::text[]) ORDER BY team_id FOR UPDATE
)
INSERT INTO team_wakeups (team_id, since, due_at, urgency, locks, payments, next_try_at)
SELECT team_id, $2, $2, $3, 0, 0, $2 FROM team
ON CONFLICT (team_id) DO NOTHING
"""


async def leave_wakeups(database: Database, team_ids: Collection[str], now: datetime) -> None:
    """Leaves a wake-up for each of these teams, whose workflow may be missing or behind; one that is left already stays."""
    async with connection(database) as conn:
        await conn.execute(LEAVE_ALL, list(team_ids), now, Urgency.SEATS)


NEXT_LIVE = f"""
SELECT team_id FROM teams t
 WHERE team_id > $1
   AND (status = 'forming' OR (status IN ('completed', 'completed_with_refunds')
                               AND completed_at + refund_window * interval '1 second' > $2)
        OR EXISTS (SELECT FROM events e JOIN deliveries d USING (event_id) WHERE e.team_id = t.team_id AND d.{IS_PENDING}))
 ORDER BY team_id LIMIT 500
"""


async def leave_wakeups_everywhere(database: Database, now: datetime) -> int:
    """Leaves a wake-up for every team that forms, is in its refund window or has something undelivered; returns how many."""
    count, last = 0, ""
    while True:
        async with connection(database) as conn:
            team_ids = [row["team_id"] for row in await conn.fetch(NEXT_LIVE, last, now)]
        if not team_ids:
            return count
        await leave_wakeups(database, team_ids, now)
        count, last = count + len(team_ids), team_ids[-1]


@dataclass(frozen=True, slots=True)
class WakeUp:
    """One team whose workflow has to be told, and what it needs to be started."""

    team_id: str
    locks: int
    payments: int
    attempts: int
    """how often it was told before"""


# In flight are those that were told and have time left to take over: their number is what the drain asks of the engine, all
# dispatchers together. It is one while many teams are changed directly: the CPU is the buyers' then. Those in attention hold
# nobody's place: a few broken workflows would stop the drain. A quarter of the places is for the oldest, so that none waits for
# ever behind more urgent ones. The pause is the twin of domain.wakeups.pause_after.
CLAIM = f"""
WITH in_flight AS (
  SELECT count(*) AS told FROM team_wakeups WHERE attempts BETWEEN 1 AND {ATTEMPTS - 1} AND next_try_at > $1
), latest AS (
  SELECT count(*) AS teams FROM team_wakeups WHERE since > $1 - interval '1 second'
), places AS (
  SELECT greatest(CASE WHEN latest.teams > $5 THEN 1 ELSE $2::int END - told, 0) AS free FROM in_flight, latest
), oldest AS (
  SELECT team_id FROM team_wakeups WHERE next_try_at <= $1
   ORDER BY since LIMIT (SELECT (free + 3) / 4 FROM places) FOR UPDATE SKIP LOCKED
), urgent AS (
  SELECT team_id FROM team_wakeups WHERE next_try_at <= $1 AND team_id NOT IN (SELECT team_id FROM oldest)
   ORDER BY urgency DESC, due_at, since LIMIT (SELECT free - (free + 3) / 4 FROM places) FOR UPDATE SKIP LOCKED
)
UPDATE team_wakeups w
   SET attempts = attempts + 1, next_try_at = $1 + least($3::interval * power(2, least(attempts, 10)), $4::interval)
 WHERE team_id IN (SELECT team_id FROM oldest UNION ALL SELECT team_id FROM urgent)
RETURNING team_id, locks, payments, attempts - 1 AS attempts
"""
# Two dispatchers that count at the same time would both take the same places. A statement of its own, because the claim counts
# what was committed when it began.
ONE_CLAIM_AT_A_TIME = "SELECT pg_advisory_xact_lock(7242005)"


async def claim_wakeups(database: Database, now: datetime, at_once: int) -> list[WakeUp]:
    """Returns the wake-ups to tell next, which nobody else gets before their workflow had time to take over.

    Args:
        database: the database.
        now: when.
        at_once: how many may be told and not taken over, by all dispatchers together.
    """
    async with transaction(database) as conn:
        await conn.execute(ONE_CLAIM_AT_A_TIME)
        rows = await conn.fetch(CLAIM, now, at_once, FIRST_PAUSE, LONGEST_PAUSE, RUSH)
    return [WakeUp(**row) for row in rows]


DISCARD = "DELETE FROM team_wakeups WHERE team_id = $1"


async def discard_wakeup(database: Database, team_id: str) -> None:
    """Deletes the wake-up of a team that has no row."""
    async with connection(database) as conn:
        await conn.execute(DISCARD, team_id)


FAIL = "UPDATE team_wakeups SET error = $2 WHERE team_id = $1"


async def record_failed_wakeup(database: Database, team_id: str, error: str) -> None:
    """Records why a team's workflow could not be told; it is told again after the pause that the claim has set."""
    async with connection(database) as conn:
        await conn.execute(FAIL, team_id, error[:500])


GIVE_BACK = """
UPDATE team_wakeups SET attempts = attempts - 1, next_try_at = $2 WHERE team_id = ANY($1::text[]) AND attempts > 0
"""


async def give_back_wakeups(database: Database, team_ids: Collection[str], now: datetime) -> None:
    """Makes wake-ups due again that nobody could be told of, because the engine is away: no team's fault."""
    async with connection(database) as conn:
        await conn.execute(GIVE_BACK, list(team_ids), now)


@dataclass(frozen=True, slots=True)
class WakeUpCounts:
    counts: dict[Urgency, int]
    oldest: datetime | None


COUNT = "SELECT urgency, count(*) AS wakeups, min(since) AS oldest FROM team_wakeups GROUP BY urgency"


async def count_wakeups(database: Database) -> WakeUpCounts:
    """Counts the wake-ups that wait, by urgency."""
    async with connection(database) as conn:
        rows = await conn.fetch(COUNT)
    counts = {Urgency(row["urgency"]): row["wakeups"] for row in rows}
    return WakeUpCounts(counts, min((row["oldest"] for row in rows), default=None))


COUNT_UNTIL = "SELECT count(*) FROM team_wakeups WHERE since <= $1"


async def count_wakeups_until(database: Database, moment: datetime) -> int:
    """Counts the wake-ups that were left until a moment, and wait still."""
    async with connection(database) as conn:
        return int(await conn.fetchval(COUNT_UNTIL, moment))
