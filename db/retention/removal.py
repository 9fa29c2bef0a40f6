"""Removes old teams with all their rows. What stays: that an order's number was used, and what was counted of the teams."""

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime

from db.core.connection import Connection, Database, Row, connection, transaction
from db.reconciliation.cursors import BEGIN, Cursor, move_cursor, read_cursor
from db.retention.archive import ARCHIVE
from domain.lifecycle import OrderStatus, TeamStatus
from domain.retention import Kept, TeamRecord, why_kept

NAME = "retention"
"""of the cursor: a team that is kept is looked at again in the next pass"""
SLICE = 50
"""teams of one transaction"""

OLD_TEAMS = """
SELECT team_id, opened_at FROM teams
 WHERE (opened_at, team_id) > ($1, $2) AND opened_at < $3 ORDER BY opened_at, team_id LIMIT $4
"""


@dataclass(slots=True)
class Removal:
    """What was removed, or would be, and why teams were kept."""

    teams: int = 0
    orders: int = 0
    events: int = 0
    kept: Counter[Kept] = field(default_factory=Counter)

    def add(self, other: "Removal") -> None:
        self.teams, self.orders, self.events = self.teams + other.teams, self.orders + other.orders, self.events + other.events
        self.kept += other.kept


@dataclass(frozen=True, slots=True)
class OldTeams:
    """Teams that were opened before the cutoff, in that order."""

    team_ids: list[str]
    cursor: Cursor
    """where the next slice begins; BEGIN: these are the last ones"""


async def next_old_teams(database: Database, cutoff: datetime, after: Cursor | None = None, limit: int = SLICE) -> OldTeams:
    """Returns the next teams to look at.

    Args:
        database: the database.
        cutoff: when they were opened at the latest.
        after: where the slice before ended; None: where the Schedule's last one did.
        limit: how many.
    """
    async with connection(database) as conn:
        after = after or await read_cursor(conn, NAME)
        rows = await conn.fetch(OLD_TEAMS, after.at, after.id, cutoff, limit)
    is_last = len(rows) < limit
    return OldTeams([row["team_id"] for row in rows], BEGIN if is_last else Cursor(rows[-1]["opened_at"], rows[-1]["team_id"]))


# Callers hold the locks: nothing of these teams changes until the commit.
RECORDS = """
SELECT t.team_id, t.status, t.status = 'completed' OR t.completed_at IS NULL OR t.unearned_booked_at IS NOT NULL AS is_booked,
       greatest(t.opened_at, t.failed_at, t.completed_at + t.refund_window * interval '1 second', t.unearned_booked_at,
                t.taken_over_at, o.latest_at, r.latest_at, e.latest_at) AS latest_at,
       o.statuses, o.orders, r.is_open, e.is_pending, e.events,
       EXISTS (SELECT FROM team_wakeups w WHERE w.team_id = t.team_id) AS has_wakeup,
       e.is_dead OR c.is_open OR EXISTS (SELECT FROM reconciliation_findings f
                                          WHERE f.subject = t.team_id OR f.subject = ANY(o.ids)) AS needs_operator
  FROM unnest($1::text[]) AS k (team_id)
 CROSS JOIN LATERAL (SELECT * FROM teams WHERE teams.team_id = k.team_id OFFSET 0) t
 CROSS JOIN LATERAL (
   SELECT array_agg(order_id) AS ids, array_agg(DISTINCT status) AS statuses, count(*) AS orders,
          max(greatest(locked_at, cancelled_at, payment_reported_at)) AS latest_at
     FROM orders WHERE orders.team_id = t.team_id) o
 CROSS JOIN LATERAL (
   SELECT coalesce(bool_or(finished_at IS NULL), false) AS is_open,
          max(greatest(requested_at, released_at, finished_at)) AS latest_at
     FROM refunds WHERE order_id = ANY(o.ids)) r
 CROSS JOIN LATERAL (
   SELECT coalesce(bool_or(resolved_at IS NULL), false) AS is_open FROM payment_conflicts WHERE order_id = ANY(o.ids)) c
 CROSS JOIN LATERAL (
   SELECT count(DISTINCT event_id) AS events, max(greatest(occurred_at, finished_at)) AS latest_at,
          coalesce(bool_or(sequence IS NULL OR d.status = 'pending'), false) AS is_pending,
          coalesce(bool_or(d.status = 'dead'), false) AS is_dead
     FROM events LEFT JOIN deliveries d USING (event_id) WHERE events.team_id = t.team_id) e
"""


async def preview(database: Database, team_ids: list[str], cutoff: datetime) -> Removal:
    """Returns what `remove_teams` would remove of these teams."""
    async with connection(database) as conn:
        removal, _ = _judge(await conn.fetch(RECORDS, team_ids), cutoff)
    return removal


def _judge(records: list[Row], cutoff: datetime) -> tuple[Removal, list[str]]:
    removal, removable = Removal(), []
    for row in records:
        reason = why_kept(_record(row), cutoff)
        if reason is None:
            removable.append(row["team_id"])
            removal.add(Removal(1, row["orders"], row["events"]))
        else:
            removal.kept[reason] += 1
    return removal, removable


def _record(row: Row) -> TeamRecord:
    return TeamRecord(
        status=TeamStatus(row["status"]),
        latest_at=row["latest_at"],
        order_statuses=[OrderStatus(status) for status in row["statuses"]],
        has_open_refund=row["is_open"],
        has_pending_delivery=row["is_pending"],
        needs_operator=row["needs_operator"],
        has_wakeup=row["has_wakeup"],
        is_booked=row["is_booked"],
    )


# In the order of all transactions: a lock holds its order's fence before any row (groupbuy_fence), so all fences come first.
# A lock that waits for one of these reads afterwards whether its order was removed.
FENCES = """
SELECT pg_advisory_xact_lock(hashtextextended(order_id, 7242003))
  FROM (SELECT order_id FROM orders WHERE team_id = ANY($1::text[]) ORDER BY order_id OFFSET 0) o
"""
LOCK_TEAMS = "SELECT FROM teams WHERE team_id = ANY($1::text[]) ORDER BY team_id FOR UPDATE"
LOCK_ORDERS = "SELECT FROM orders WHERE team_id = ANY($1::text[]) ORDER BY order_id FOR UPDATE"
# A redelivery makes events due without a lock on the team.
LOCK_DELIVERIES = """
SELECT FROM events e JOIN deliveries d USING (event_id) WHERE e.team_id = ANY($1::text[]) ORDER BY d.event_id FOR UPDATE OF d
"""

REMOVE_EVENTS = (
    "DELETE FROM delivery_attempts a USING events e WHERE a.event_id = e.event_id AND e.team_id = ANY($1::text[])",
    "DELETE FROM deliveries d USING events e WHERE d.event_id = e.event_id AND e.team_id = ANY($1::text[])",
    # The next sequence of a mall is one higher than that of its latest event, which may be one of these.
    """
UPDATE malls m SET sequence_from = last.sequence
  FROM (SELECT source, max(sequence) AS sequence FROM events WHERE team_id = ANY($1::text[]) GROUP BY source) last
 WHERE m.source = last.source AND m.sequence_from < last.sequence
   AND NOT EXISTS (SELECT FROM events e WHERE e.source = m.source AND e.sequence > last.sequence)
""",
    "DELETE FROM events WHERE team_id = ANY($1::text[])",
)
REMOVE_ORDERS = (
    "DELETE FROM payment_conflicts c USING orders o WHERE c.order_id = o.order_id AND o.team_id = ANY($1::text[])",
    "DELETE FROM refunds r USING orders o WHERE r.order_id = o.order_id AND o.team_id = ANY($1::text[])",
    "INSERT INTO removed_orders (order_id) SELECT order_id FROM orders WHERE team_id = ANY($1::text[])",
    # The seats go on counting against the take limit and the stock.
    """
WITH seats AS (
  SELECT campaign_id, source, user_id, count(*) AS live FROM orders WHERE team_id = ANY($1::text[]) AND live GROUP BY 1, 2, 3
), held AS MATERIALIZED (
  SELECT q.campaign_id, q.source, q.user_id FROM user_quotas q JOIN seats USING (campaign_id, source, user_id)
   ORDER BY q.campaign_id, q.source, q.user_id FOR UPDATE OF q
)
UPDATE user_quotas q SET removed = q.removed + seats.live
  FROM held JOIN seats USING (campaign_id, source, user_id)
 WHERE (q.campaign_id, q.source, q.user_id) = (held.campaign_id, held.source, held.user_id)
""",
    "DELETE FROM orders WHERE team_id = ANY($1::text[])",
)
REMOVE_BOOKINGS = (
    "DELETE FROM unearned_discounts WHERE team_id = ANY($1::text[])",
    "DELETE FROM campaign_shutdown_teams WHERE team_id = ANY($1::text[])",
)
COUNT_REMOVED = """
INSERT INTO removed_teams AS r (campaign_id, source, teams, completed, failed, live_seats, paid_seats, before)
SELECT campaign_id, source, count(*), count(completed_at), count(*) FILTER (WHERE status = 'failed'), sum(lock_count),
       sum(complete_count), $2
  FROM teams WHERE team_id = ANY($1::text[]) GROUP BY campaign_id, source ORDER BY campaign_id, source
ON CONFLICT (campaign_id, source) DO UPDATE
   SET teams = r.teams + excluded.teams, completed = r.completed + excluded.completed, failed = r.failed + excluded.failed,
       live_seats = r.live_seats + excluded.live_seats, paid_seats = r.paid_seats + excluded.paid_seats,
       before = greatest(r.before, excluded.before)
"""
REMOVE_TEAMS = "DELETE FROM teams WHERE team_id = ANY($1::text[])"


async def remove_teams(database: Database, team_ids: list[str], cutoff: datetime, *, archives: bool = False) -> Removal:
    """Removes those of these teams that may be removed. Safe to repeat.

    Args:
        database: the database.
        team_ids: what to look at.
        cutoff: what is newer is kept.
        archives: whether they go to the archive.
    """
    async with transaction(database) as conn:
        for lock in (FENCES, LOCK_TEAMS, LOCK_ORDERS, LOCK_DELIVERIES):
            await conn.execute(lock, team_ids)
        removal, removable = _judge(await conn.fetch(RECORDS, team_ids), cutoff)
        if removable and archives:
            await conn.execute(ARCHIVE, removable)
        if removable:
            await _remove(conn, removable, cutoff)
    return removal


async def _remove(conn: Connection, team_ids: list[str], cutoff: datetime) -> None:
    for statement in (*REMOVE_EVENTS, *REMOVE_ORDERS, *REMOVE_BOOKINGS):
        await conn.execute(statement, team_ids)
    await conn.execute(COUNT_REMOVED, team_ids, cutoff)
    await conn.execute(REMOVE_TEAMS, team_ids)


async def remove_next(database: Database, cutoff: datetime, now: datetime, *, archives: bool = False) -> tuple[Removal, bool]:
    """Removes what it may of the next slice of old teams; returns also whether more are to be looked at in this pass."""
    old = await next_old_teams(database, cutoff)
    removal = await remove_teams(database, old.team_ids, cutoff, archives=archives)
    await move_cursor(database, NAME, old.cursor, now)
    return removal, old.cursor != BEGIN
