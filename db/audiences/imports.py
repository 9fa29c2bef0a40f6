"""Audiences: filled beside the members in force, and replaced by one row that names the new ones."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import asyncpg

from db.audiences.clean_up import _fail_abandoned
from db.audiences.store import _unknown
from db.core.connection import Connection, Database, Row, connection, fetch_one, transaction
from db.settings.audit import RECORD_CHANGE
from domain.errors import ErrorCode, Refusal
from domain.messages.audiences import ImportState
from domain.schemas.audiences import AudienceRule, BadLine, ImportKind, ImportStatus

ORDERS_AT_ONCE = 5_000
"""of one mall, in one slice of a rule's job"""
BEGIN_FILLING = """
INSERT INTO audience_imports (audience_id, kind, rule, status, seen, accepted, bad, member_count, last_user, report,
                               started_by, started_at, last_progress_at)
VALUES ($1, $2, $3, 'running', 0, 0, 0, 0, '', '[]', $4, $5, $5) RETURNING import_id
"""


async def begin_import(database: Database, audience_id: str, rule: AudienceRule | None, *, by: str, now: datetime) -> int:
    """Opens the next filling, by a rule or by an upload; one that was abandoned makes room.

    Raises:
        Refusal: audience_not_found, audience_conflict (another filling is under way).
    """
    kind = ImportKind.UPLOAD if rule is None else ImportKind.RULE
    try:
        async with transaction(database) as conn:
            await _fail_abandoned(conn, audience_id, now)
            content = rule.model_dump_json() if rule else None
            return int(await conn.fetchval(BEGIN_FILLING, audience_id, kind, content, by, now))
    except asyncpg.ForeignKeyViolationError:
        raise _unknown(audience_id) from None
    except asyncpg.UniqueViolationError:
        raise Refusal(ErrorCode.AUDIENCE_CONFLICT, f"Audience {audience_id} is being filled; wait for its end.") from None


LOCK_FILLING = "SELECT * FROM audience_imports WHERE import_id = $1 FOR UPDATE"
ADD_MEMBERS = "INSERT INTO audience_members (import_id, user_id) SELECT $1, unnest($2::text[]) ON CONFLICT DO NOTHING"
NOTE_PROGRESS = """
UPDATE audience_imports
   SET seen = $2, accepted = $3, bad = $4, report = $5, member_count = member_count + $6, last_progress_at = $7
 WHERE import_id = $1
"""


@dataclass(frozen=True, slots=True)
class ImportProgress:
    """How far an upload has been read."""

    seen: int
    accepted: int
    bad: int
    report: Sequence[BadLine]


async def add_members(database: Database, import_id: int, user_ids: set[str], progress: ImportProgress, now: datetime) -> None:
    """Adds some users of an upload; whoever is there already is not counted again.

    Raises:
        Refusal: audience_conflict (it was given up meanwhile).
    """
    report = json.dumps([bad.model_dump() for bad in progress.report])
    async with transaction(database) as conn:
        await _running(conn, import_id)
        # In the index's order: neighbours are written together.
        tag = await conn.execute(ADD_MEMBERS, import_id, sorted(user_ids))
        added = int(tag.rpartition(" ")[2])
        await conn.execute(NOTE_PROGRESS, import_id, progress.seen, progress.accepted, progress.bad, report, added, now)


async def finish_import(database: Database, import_id: int, now: datetime) -> None:
    """Puts its members in force.

    Raises:
        Refusal: audience_conflict (it was given up meanwhile).
    """
    async with transaction(database) as conn:
        await _put_in_force(conn, await _running(conn, import_id), now)


FAIL_FILLING = """
UPDATE audience_imports SET status = 'failed', failure = $2, finished_at = $3 WHERE import_id = $1 AND status = 'running'
"""


async def fail_import(database: Database, import_id: int, why: str, now: datetime) -> None:
    """Gives it up: the former members stay in force. One that has ended is left as it is."""
    async with connection(database) as conn:
        await conn.execute(FAIL_FILLING, import_id, why, now)


async def _running(conn: Connection, import_id: int) -> Row:
    row = await fetch_one(conn, LOCK_FILLING, import_id)
    if row["status"] != ImportStatus.RUNNING:
        raise Refusal(ErrorCode.AUDIENCE_CONFLICT, f"Filling {import_id} was given up: it had made no progress for too long.")
    return row


END_FILLING = """
UPDATE audience_imports SET status = 'done', finished_at = $2 WHERE import_id = $1 RETURNING audience_id, member_count, rule
"""
SWITCH = "UPDATE audiences SET import_id = $2, member_count = $3, updated_at = $4 WHERE audience_id = $1"


async def _put_in_force(conn: Connection, running: Row, now: datetime) -> None:
    ended = await fetch_one(conn, END_FILLING, running["import_id"], now)
    await conn.execute(SWITCH, ended["audience_id"], running["import_id"], ended["member_count"], now)
    content = {
        "audience_id": ended["audience_id"],
        "filling": running["import_id"],
        "kind": running["kind"],
        "rule": json.loads(ended["rule"]) if ended["rule"] else None,
        "member_count": ended["member_count"],
    }
    subject = f"audience/{ended['audience_id']}"
    await conn.execute(RECORD_CHANGE, now, running["started_by"], subject, json.dumps(content))


# --- a rule's job, in slices of users: every slice looks at its users' orders as they are in that moment ---

# One step down the index for each mall, however many orders it has.
SOURCES = """
WITH RECURSIVE found AS (
    SELECT min(source) AS source FROM orders
    UNION ALL
    SELECT (SELECT min(o.source) FROM orders o WHERE o.source > found.source) FROM found WHERE found.source IS NOT NULL
)
SELECT source FROM found WHERE source IS NOT NULL
"""
# The user up to whom no mall has more than a slice's orders; with the last ones, the last user.
SLICE_END = """
SELECT coalesce(min(b.user_id), max(l.user_id))
  FROM unnest($1::text[]) AS m (source)
  LEFT JOIN LATERAL (SELECT user_id FROM orders WHERE source = m.source AND user_id > $2
                      ORDER BY user_id OFFSET $3 LIMIT 1) b ON true
  LEFT JOIN LATERAL (SELECT user_id FROM orders WHERE source = m.source AND user_id > $2
                      ORDER BY user_id DESC LIMIT 1) l ON true
"""
# A seat that is paid counts until it is given back: the same that a team's complete_count counts.
TAKE_USERS = """
WITH users AS MATERIALIZED (
    SELECT user_id, count(*) AS orders, sum(paid_amount) AS amount
      FROM orders
     WHERE source = ANY($2::text[]) AND user_id > $3 AND user_id <= $4 AND locked_at >= $5 AND locked_at < $6
       AND live AND status <> 'locked'
     GROUP BY user_id
), added AS (
    INSERT INTO audience_members (import_id, user_id)
    SELECT $1, user_id FROM users WHERE orders >= $7 AND amount >= $8
    RETURNING 1
)
UPDATE audience_imports
   SET seen = seen + (SELECT count(*) FROM users), accepted = accepted + (SELECT count(*) FROM added),
       member_count = member_count + (SELECT count(*) FROM added), last_user = $4, last_progress_at = $9
 WHERE import_id = $1
"""


async def take_users(database: Database, import_id: int, now: datetime, at_once: int = ORDERS_AT_ONCE) -> ImportState:
    """One slice of a rule's job, from where the last one stopped; the last one puts the members in force.

    Of a filling that has ended, also of an upload's, it returns the end.
    """
    async with transaction(database) as conn:
        row = await fetch_one(conn, LOCK_FILLING, import_id)
        if row["status"] == ImportStatus.RUNNING and row["kind"] == ImportKind.RULE:
            rule = AudienceRule.model_validate_json(row["rule"])
            sources = [rule.source] if rule.source else [found["source"] for found in await conn.fetch(SOURCES)]
            after = row["last_user"]
            until = await conn.fetchval(SLICE_END, sources, after, at_once)
            if until is None:
                await _put_in_force(conn, row, now)
            else:
                period, least = (rule.since, rule.until), (rule.min_orders or 1, rule.min_amount or 0)
                await conn.execute(TAKE_USERS, import_id, sources, after, until, *period, *least, now)
            row = await fetch_one(conn, LOCK_FILLING, import_id)
    return ImportState(status=row["status"], seen=row["seen"], member_count=row["member_count"], last_user=row["last_user"])
