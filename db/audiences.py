"""Audiences: filled beside the members in force, and replaced by one row that names the new ones."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import asyncpg

from db.administration import RECORD_CHANGE
from db.connection import Connection, Database, Row, connection, fetch_one, transaction
from db.views import History, Position
from domain.audiences import Audience, AudienceRule, BadLine, Filling, FillingKind, FillingStatus
from domain.errors import ErrorCode, Refusal
from domain.ids import audience_workflow_id
from domain.messages import FillingState

ORDERS_AT_ONCE = 5_000
"""of one mall, in one slice of a rule's job"""
DELETED_AT_ONCE = 10_000
UPLOAD_IS_GONE_AFTER = timedelta(minutes=2)
"""without progress: the process that took it is gone"""
RULE_IS_GONE_AFTER = timedelta(hours=1)

# --- what operators see ---

AUDIENCES = """
SELECT a.audience_id, a.name, a.member_count AS members, a.created_at, a.updated_at, f.*
  FROM audiences a LEFT JOIN LATERAL (
       SELECT filling, kind, rule, status, failure, seen, accepted, bad, member_count, report,
              started_by, started_at, finished_at
         FROM audience_fillings WHERE audience_id = a.audience_id ORDER BY filling DESC LIMIT 1) f ON true
"""
READ_AUDIENCE = f"{AUDIENCES} WHERE a.audience_id = $1"
LIST_AUDIENCES = f"""{AUDIENCES}
 WHERE $1::timestamptz IS NULL OR (a.created_at, a.audience_id) < ($1, $2)
 ORDER BY a.created_at DESC, a.audience_id DESC LIMIT $3
"""


async def read_audience(database: Database, history: History, audience_id: str) -> Audience:
    """
    Raises:
        Refusal: audience_not_found.
    """
    async with connection(database) as opened:
        row = await opened.fetchrow(READ_AUDIENCE, audience_id)
    if row is None:
        raise _unknown(audience_id)
    return _audience(row, history)


async def list_audiences(database: Database, history: History, after: Position | None, limit: int) -> list[Audience]:
    """The newest first, without the reports of bad lines."""
    where = (after.moment, after.row_id) if after else (None, None)
    async with connection(database) as opened:
        rows = await opened.fetch(LIST_AUDIENCES, *where, limit)
    return [_audience({**row, "report": "[]"}, history) for row in rows]


READ_FILLING = "SELECT * FROM audience_fillings WHERE filling = $1"


async def read_filling(database: Database, history: History, filling: int) -> Filling:
    async with connection(database) as opened:
        return _filling(await fetch_one(opened, READ_FILLING, filling), history)


IS_MEMBER = """
SELECT EXISTS (SELECT FROM audience_members m WHERE m.filling = a.filling AND m.user_id = $2)
  FROM audiences a WHERE a.audience_id = $1
"""


async def is_member(database: Database, audience_id: str, user_id: str) -> bool:
    """
    Raises:
        Refusal: audience_not_found.
    """
    async with connection(database) as opened:
        found = await opened.fetchval(IS_MEMBER, audience_id, user_id)
    if found is None:
        raise _unknown(audience_id)
    return bool(found)


SAVE_AUDIENCE = """
INSERT INTO audiences (audience_id, name, member_count, created_at, updated_at) VALUES ($1, $2, 0, $3, $3)
ON CONFLICT (audience_id) DO UPDATE SET name = excluded.name, updated_at = excluded.updated_at
"""


async def save_audience(database: Database, audience_id: str, name: str, *, by: str, now: datetime) -> None:
    """Makes an audience without members, or renames one."""
    async with transaction(database) as opened:
        await opened.execute(SAVE_AUDIENCE, audience_id, name, now)
        content = json.dumps({"audience_id": audience_id, "name": name})
        await opened.execute(RECORD_CHANGE, now, by, f"audience/{audience_id}", content)


# --- a filling: begun, added to, and ended once ---

FAIL_ABANDONED = """
UPDATE audience_fillings
   SET status = 'failed', finished_at = $1, failure = 'It made no progress: what worked on it is gone.'
 WHERE status = 'running' AND touched_at < CASE kind WHEN 'upload' THEN $2::timestamptz ELSE $3 END
   AND ($4::text IS NULL OR audience_id = $4)
"""
BEGIN_FILLING = """
INSERT INTO audience_fillings (audience_id, kind, rule, status, seen, accepted, bad, member_count, last_user, report,
                               started_by, started_at, touched_at)
VALUES ($1, $2, $3, 'running', 0, 0, 0, 0, '', '[]', $4, $5, $5) RETURNING filling
"""


async def begin_filling(database: Database, audience_id: str, rule: AudienceRule | None, *, by: str, now: datetime) -> int:
    """Opens the next filling, by a rule or by an upload; one that was abandoned makes room.

    Raises:
        Refusal: audience_not_found, audience_conflict (another filling is under way).
    """
    kind = FillingKind.UPLOAD if rule is None else FillingKind.RULE
    try:
        async with transaction(database) as opened:
            await _fail_abandoned(opened, audience_id, now)
            content = rule.model_dump_json() if rule else None
            return int(await opened.fetchval(BEGIN_FILLING, audience_id, kind, content, by, now))
    except asyncpg.ForeignKeyViolationError:
        raise _unknown(audience_id) from None
    except asyncpg.UniqueViolationError:
        raise Refusal(ErrorCode.AUDIENCE_CONFLICT, f"Audience {audience_id} is being filled; wait for its end.") from None


async def _fail_abandoned(opened: Connection, audience_id: str | None, now: datetime) -> None:
    await opened.execute(FAIL_ABANDONED, now, now - UPLOAD_IS_GONE_AFTER, now - RULE_IS_GONE_AFTER, audience_id)


LOCK_FILLING = "SELECT * FROM audience_fillings WHERE filling = $1 FOR UPDATE"
ADD_MEMBERS = "INSERT INTO audience_members (filling, user_id) SELECT $1, unnest($2::text[]) ON CONFLICT DO NOTHING"
NOTE_PROGRESS = """
UPDATE audience_fillings
   SET seen = $2, accepted = $3, bad = $4, report = $5, member_count = member_count + $6, touched_at = $7
 WHERE filling = $1
"""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an upload has been read."""

    seen: int
    accepted: int
    bad: int
    report: Sequence[BadLine]


async def add_members(database: Database, filling: int, user_ids: set[str], progress: Progress, now: datetime) -> None:
    """Adds some users of an upload; whoever is there already is not counted again.

    Raises:
        Refusal: audience_conflict (it was given up meanwhile).
    """
    report = json.dumps([bad.model_dump() for bad in progress.report])
    async with transaction(database) as opened:
        await _running(opened, filling)
        # In the index's order: neighbours are written together.
        tag = await opened.execute(ADD_MEMBERS, filling, sorted(user_ids))
        added = int(tag.rpartition(" ")[2])
        await opened.execute(NOTE_PROGRESS, filling, progress.seen, progress.accepted, progress.bad, report, added, now)


async def finish_filling(database: Database, filling: int, now: datetime) -> None:
    """Puts its members in force.

    Raises:
        Refusal: audience_conflict (it was given up meanwhile).
    """
    async with transaction(database) as opened:
        await _put_in_force(opened, await _running(opened, filling), now)


FAIL_FILLING = """
UPDATE audience_fillings SET status = 'failed', failure = $2, finished_at = $3 WHERE filling = $1 AND status = 'running'
"""


async def fail_filling(database: Database, filling: int, why: str, now: datetime) -> None:
    """Gives it up: the former members stay in force. One that has ended is left as it is."""
    async with connection(database) as opened:
        await opened.execute(FAIL_FILLING, filling, why, now)


async def _running(opened: Connection, filling: int) -> Row:
    row = await fetch_one(opened, LOCK_FILLING, filling)
    if row["status"] != FillingStatus.RUNNING:
        raise Refusal(ErrorCode.AUDIENCE_CONFLICT, f"Filling {filling} was given up: it had made no progress for too long.")
    return row


END_FILLING = """
UPDATE audience_fillings SET status = 'done', finished_at = $2 WHERE filling = $1 RETURNING audience_id, member_count, rule
"""
SWITCH = "UPDATE audiences SET filling = $2, member_count = $3, updated_at = $4 WHERE audience_id = $1"


async def _put_in_force(opened: Connection, filling: Row, now: datetime) -> None:
    ended = await fetch_one(opened, END_FILLING, filling["filling"], now)
    await opened.execute(SWITCH, ended["audience_id"], filling["filling"], ended["member_count"], now)
    content = {
        "audience_id": ended["audience_id"],
        "filling": filling["filling"],
        "kind": filling["kind"],
        "rule": json.loads(ended["rule"]) if ended["rule"] else None,
        "member_count": ended["member_count"],
    }
    subject = f"audience/{ended['audience_id']}"
    await opened.execute(RECORD_CHANGE, now, filling["started_by"], subject, json.dumps(content))


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
    INSERT INTO audience_members (filling, user_id)
    SELECT $1, user_id FROM users WHERE orders >= $7 AND amount >= $8
    RETURNING 1
)
UPDATE audience_fillings
   SET seen = seen + (SELECT count(*) FROM users), accepted = accepted + (SELECT count(*) FROM added),
       member_count = member_count + (SELECT count(*) FROM added), last_user = $4, touched_at = $9
 WHERE filling = $1
"""


async def take_users(database: Database, filling: int, now: datetime, at_once: int = ORDERS_AT_ONCE) -> FillingState:
    """One slice of a rule's job, from where the last one stopped; the last one puts the members in force.

    Of a filling that has ended, also of an upload's, it returns the end.
    """
    async with transaction(database) as opened:
        row = await fetch_one(opened, LOCK_FILLING, filling)
        if row["status"] == FillingStatus.RUNNING and row["kind"] == FillingKind.RULE:
            rule = AudienceRule.model_validate_json(row["rule"])
            sources = [rule.source] if rule.source else [found["source"] for found in await opened.fetch(SOURCES)]
            after = row["last_user"]
            until = await opened.fetchval(SLICE_END, sources, after, at_once)
            if until is None:
                await _put_in_force(opened, row, now)
            else:
                period, least = (rule.since, rule.until), (rule.min_orders or 1, rule.min_amount or 0)
                await opened.execute(TAKE_USERS, filling, sources, after, until, *period, *least, now)
            row = await fetch_one(opened, LOCK_FILLING, filling)
    return FillingState(status=row["status"], seen=row["seen"], member_count=row["member_count"], last_user=row["last_user"])


# --- members that are no longer in force ---

REPLACED = """
SELECT f.filling FROM audience_fillings f
 WHERE f.cleared_at IS NULL AND f.status <> 'running' AND ($1::text IS NULL OR f.audience_id = $1)
   AND NOT EXISTS (SELECT FROM audiences a WHERE a.audience_id = f.audience_id AND a.filling = f.filling)
 ORDER BY f.filling LIMIT 1
"""
# Deleted rows stay in the index for a while: who began at its beginning again would read them all again.
LAST_OF_SLICE = """
SELECT user_id FROM audience_members WHERE filling = $1 AND user_id > $2 ORDER BY user_id OFFSET $3 LIMIT 1
"""
DELETE_MEMBERS = "DELETE FROM audience_members WHERE filling = $1 AND user_id > $2 AND ($3::text IS NULL OR user_id <= $3)"
NOTE_CLEARED = "UPDATE audience_fillings SET cleared_at = $2 WHERE filling = $1"


async def replaced_filling(database: Database, audience_id: str | None) -> int | None:
    """One that has ended and is not in force, but still has its members."""
    async with connection(database) as opened:
        found = await opened.fetchval(REPLACED, audience_id)
    return None if found is None else int(found)


async def delete_members(
    database: Database, filling: int, after: str, now: datetime, at_once: int = DELETED_AT_ONCE
) -> str | None:
    """Deletes a slice of such a filling's members; returns the last user of it, None when none is left."""
    async with transaction(database) as opened:
        until: str | None = await opened.fetchval(LAST_OF_SLICE, filling, after, at_once - 1)
        await opened.execute(DELETE_MEMBERS, filling, after, until)
        if until is None:
            await opened.execute(NOTE_CLEARED, filling, now)
    return until


async def tidy_audiences(database: Database, now: datetime) -> None:
    """The net: gives up what a dead process left under way, and deletes one slice of what nobody deletes."""
    async with transaction(database) as opened:
        await _fail_abandoned(opened, None, now)
    if (filling := await replaced_filling(database, None)) is not None:
        await delete_members(database, filling, "", now)


def _unknown(audience_id: str) -> Refusal:
    return Refusal(ErrorCode.AUDIENCE_NOT_FOUND, f"There is no audience {audience_id}.")


def _audience(row: Row | dict[str, Any], history: History) -> Audience:
    return Audience(
        audience_id=row["audience_id"],
        name=row["name"],
        member_count=row["members"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        filling=_filling(row, history) if row["filling"] is not None else None,
    )


PLAIN = ("filling", "kind", "status", "failure", "seen", "accepted", "bad", "member_count", "started_by", "started_at")


def _filling(row: Row | dict[str, Any], history: History) -> Filling:
    plain: dict[str, Any] = {name: row[name] for name in PLAIN}
    is_rule = row["kind"] == FillingKind.RULE
    return Filling(
        **plain,
        rule=AudienceRule.model_validate_json(row["rule"]) if is_rule else None,
        duplicates=row["accepted"] - row["member_count"],
        report=[BadLine(**bad) for bad in json.loads(row["report"])],
        finished_at=row["finished_at"],
        workflow=history.link(audience_workflow_id(row["audience_id"], row["filling"])) if is_rule else None,
    )
