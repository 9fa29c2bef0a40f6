"""Deletion of members that an import has replaced, and of imports that were abandoned."""

from datetime import datetime, timedelta

from db.core.connection import Connection, Database, connection, transaction

DELETED_AT_ONCE = 10_000
UPLOAD_IS_GONE_AFTER = timedelta(minutes=2)
"""without progress: the process that took it is gone"""
RULE_IS_GONE_AFTER = timedelta(hours=1)


# --- a filling: begun, added to, and ended once ---

FAIL_ABANDONED = """
UPDATE audience_imports
   SET status = 'failed', finished_at = $1, failure = 'It made no progress: what worked on it is gone.'
 WHERE status = 'running' AND last_progress_at < CASE kind WHEN 'upload' THEN $2::timestamptz ELSE $3 END
   AND ($4::text IS NULL OR audience_id = $4)
"""


async def _fail_abandoned(conn: Connection, audience_id: str | None, now: datetime) -> None:
    await conn.execute(FAIL_ABANDONED, now, now - UPLOAD_IS_GONE_AFTER, now - RULE_IS_GONE_AFTER, audience_id)


# --- members that are no longer in force ---

REPLACED = """
SELECT i.import_id FROM audience_imports i
 WHERE i.cleared_at IS NULL AND i.status <> 'running' AND ($1::text IS NULL OR i.audience_id = $1)
   AND NOT EXISTS (SELECT FROM audiences a WHERE a.audience_id = i.audience_id AND a.import_id = i.import_id)
 ORDER BY i.import_id LIMIT 1
"""
# Deleted rows stay in the index for a while: who began at its beginning again would read them all again.
LAST_OF_SLICE = """
SELECT user_id FROM audience_members WHERE import_id = $1 AND user_id > $2 ORDER BY user_id OFFSET $3 LIMIT 1
"""
DELETE_MEMBERS = "DELETE FROM audience_members WHERE import_id = $1 AND user_id > $2 AND ($3::text IS NULL OR user_id <= $3)"
NOTE_CLEARED = "UPDATE audience_imports SET cleared_at = $2 WHERE import_id = $1"


async def replaced_import(database: Database, audience_id: str | None) -> int | None:
    """One that has ended and is not in force, but still has its members."""
    async with connection(database) as conn:
        found = await conn.fetchval(REPLACED, audience_id)
    return None if found is None else int(found)


async def delete_members(
    database: Database, import_id: int, after: str, now: datetime, at_once: int = DELETED_AT_ONCE
) -> str | None:
    """Deletes a slice of such a filling's members; returns the last user of it, None when none is left."""
    async with transaction(database) as conn:
        until: str | None = await conn.fetchval(LAST_OF_SLICE, import_id, after, at_once - 1)
        await conn.execute(DELETE_MEMBERS, import_id, after, until)
        if until is None:
            await conn.execute(NOTE_CLEARED, import_id, now)
    return until


async def tidy_audiences(database: Database, now: datetime) -> None:
    """The net: gives up what a dead process left under way, and deletes one slice of what nobody deletes."""
    async with transaction(database) as conn:
        await _fail_abandoned(conn, None, now)
    if (import_id := await replaced_import(database, None)) is not None:
        await delete_members(database, import_id, "", now)
