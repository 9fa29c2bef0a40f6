"""Audience imports: members are written beside those in force, and put in force by one row of the audience."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import asyncpg

from db.audiences.clean_up import fail_abandoned_imports
from db.audiences.store import audience_not_found
from db.core.connection import Connection, Database, Row, connection, fetch_one, transaction
from db.settings.audit import find_changed, hold_repeats, record_act, record_change
from domain.errors import ErrorCode, Refusal
from domain.messages.acts import Act, Author, Outcome
from domain.messages.audiences import ImportState
from domain.schemas.audiences import AudienceRule, BadLine, ImportKind, ImportStatus

IMPORT_SUBJECT = "audience_import"
"""of an act in the audit"""
BEGIN_IMPORT = """
INSERT INTO audience_imports (audience_id, kind, rule, status, seen, accepted, bad, member_count, last_user, report,
                              author, started_at, last_progress_at)
VALUES ($1, $2, $3, 'running', 0, 0, 0, 0, '', '[]', $4, $5, $5) RETURNING import_id
"""


async def begin_import(
    database: Database, audience_id: str, rule: AudienceRule | None, *, by: Author, now: datetime, act_id: str = ""
) -> int:
    """Begins the audience's next import, by a rule or by an upload (None), and returns its id. Fails an abandoned one first.

    An act with an `act_id` is recorded, and returns the import of the first time when it comes again.

    Raises:
        Refusal: audience_not_found, audience_conflict (another import is running).
    """
    kind = ImportKind.UPLOAD if rule is None else ImportKind.RULE
    try:
        async with transaction(database) as conn:
            if act_id:
                await hold_repeats(conn, act_id)
                if (repeated := await find_changed(conn, IMPORT_SUBJECT, act_id)) is not None:
                    return int(repeated)
            await fail_abandoned_imports(conn, audience_id, now)
            content = rule.model_dump_json() if rule else None
            import_id = int(await conn.fetchval(BEGIN_IMPORT, audience_id, kind, content, by.model_dump_json(), now))
            if act_id:
                outcome = Outcome(changed=True, detail=f"Import {import_id} of audience {audience_id} has begun.")
                await record_act(conn, f"{IMPORT_SUBJECT}/{import_id}", "import", Act(id=act_id, author=by), outcome, now)
            return import_id
    except asyncpg.ForeignKeyViolationError:
        raise audience_not_found(audience_id) from None
    except asyncpg.UniqueViolationError:
        raise Refusal(ErrorCode.AUDIENCE_CONFLICT, f"Audience {audience_id} has a running import; wait for its end.") from None


LOCK_IMPORT = "SELECT * FROM audience_imports WHERE import_id = $1 FOR UPDATE"
ADD_MEMBERS = "INSERT INTO audience_members (import_id, user_id) SELECT $1, unnest($2::text[]) ON CONFLICT DO NOTHING"
RECORD_PROGRESS = """
UPDATE audience_imports
   SET seen = $2, accepted = $3, bad = $4, report = $5, member_count = member_count + $6, last_progress_at = $7
 WHERE import_id = $1
"""


@dataclass(frozen=True, slots=True)
class ImportProgress:
    """How much of an upload has been read, in lines."""

    seen: int
    accepted: int
    bad: int
    report: Sequence[BadLine]


async def add_members(database: Database, import_id: int, user_ids: set[str], progress: ImportProgress, now: datetime) -> None:
    """Adds users of an upload; users that are members already are not counted again.

    Raises:
        Refusal: audience_conflict (the import was failed as abandoned).
    """
    report = json.dumps([bad.model_dump() for bad in progress.report])
    async with transaction(database) as conn:
        await _lock_running(conn, import_id)
        # Sorted like the index, so that neighbouring entries are written together.
        tag = await conn.execute(ADD_MEMBERS, import_id, sorted(user_ids))
        added = int(tag.rpartition(" ")[2])
        await conn.execute(RECORD_PROGRESS, import_id, progress.seen, progress.accepted, progress.bad, report, added, now)


async def finish_import(database: Database, import_id: int, now: datetime) -> None:
    """Ends a running import and puts its members in force.

    Raises:
        Refusal: audience_conflict (the import was failed as abandoned).
    """
    async with transaction(database) as conn:
        await _put_in_force(conn, await _lock_running(conn, import_id), now)


FAIL_IMPORT = """
UPDATE audience_imports SET status = 'failed', failure = $2, finished_at = $3 WHERE import_id = $1 AND status = 'running'
"""


async def fail_import(database: Database, import_id: int, why: str, now: datetime) -> None:
    """Fails a running import; the members in force stay. An import that has ended is not changed."""
    async with connection(database) as conn:
        await conn.execute(FAIL_IMPORT, import_id, why, now)


async def _lock_running(conn: Connection, import_id: int) -> Row:
    row = await fetch_one(conn, LOCK_IMPORT, import_id)
    if row["status"] != ImportStatus.RUNNING:
        raise Refusal(ErrorCode.AUDIENCE_CONFLICT, f"Import {import_id} was given up: it made no progress for too long.")
    return row


FINISH_IMPORT = "UPDATE audience_imports SET status = 'done', finished_at = $2 WHERE import_id = $1"
PUT_IN_FORCE = "UPDATE audiences SET import_id = $2, member_count = $3, updated_at = $4 WHERE audience_id = $1"


async def _put_in_force(conn: Connection, running: Row, now: datetime) -> None:
    audience_id, import_id, member_count = running["audience_id"], running["import_id"], running["member_count"]
    await conn.execute(FINISH_IMPORT, import_id, now)
    await conn.execute(PUT_IN_FORCE, audience_id, import_id, member_count, now)
    content = {
        "audience_id": audience_id,
        "filling": import_id,
        "kind": running["kind"],
        "rule": json.loads(running["rule"]) if running["rule"] else None,
        "member_count": member_count,
    }
    author = Author.model_validate_json(running["author"])
    await record_change(conn, f"audience/{audience_id}", content, by=author, now=now)


# --- imports by a rule: slices of users, each evaluated on its users' orders at that moment ---

ORDERS_AT_ONCE = 5_000
"""of one mall, in one slice"""

# A loose index scan: one index step per mall, however many orders it has.
SOURCES = """
WITH RECURSIVE found AS (
    SELECT min(source) AS source FROM orders
    UNION ALL
    SELECT (SELECT min(o.source) FROM orders o WHERE o.source > found.source) FROM found WHERE found.source IS NOT NULL
)
SELECT source FROM found WHERE source IS NOT NULL
"""
# The last user of a slice in which no mall has more than $3 orders; in the last slice, the last user with an order.
SLICE_END = """
SELECT coalesce(min(b.user_id), max(l.user_id))
  FROM unnest($1::text[]) AS m (source)
  LEFT JOIN LATERAL (SELECT user_id FROM orders WHERE source = m.source AND user_id > $2
                      ORDER BY user_id OFFSET $3 LIMIT 1) b ON true
  LEFT JOIN LATERAL (SELECT user_id FROM orders WHERE source = m.source AND user_id > $2
                      ORDER BY user_id DESC LIMIT 1) l ON true
"""
# Paid live orders count, the same that a team's complete_count counts.
IMPORT_USERS = """
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


async def import_users(database: Database, import_id: int, now: datetime, at_once: int = ORDERS_AT_ONCE) -> ImportState:
    """Imports the next slice of users by the import's rule; after the last slice, puts the members in force.

    Returns the state of an import that has ended, or of an upload, unchanged.
    """
    async with transaction(database) as conn:
        row = await fetch_one(conn, LOCK_IMPORT, import_id)
        if row["status"] == ImportStatus.RUNNING and row["kind"] == ImportKind.RULE:
            rule = AudienceRule.model_validate_json(row["rule"])
            sources = [rule.source] if rule.source else [found["source"] for found in await conn.fetch(SOURCES)]
            after = row["last_user"]
            until = await conn.fetchval(SLICE_END, sources, after, at_once)
            if until is None:
                await _put_in_force(conn, row, now)
            else:
                period, minimum = (rule.since, rule.until), (rule.min_orders or 1, rule.min_amount or 0)
                await conn.execute(IMPORT_USERS, import_id, sources, after, until, *period, *minimum, now)
            row = await fetch_one(conn, LOCK_IMPORT, import_id)
    return ImportState(status=row["status"], seen=row["seen"], member_count=row["member_count"], last_user=row["last_user"])
