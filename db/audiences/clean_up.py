"""Ends abandoned imports, and deletes members of imports that are not in force."""

from datetime import datetime, timedelta

from db.core.connection import Connection, Database, connection, transaction

DELETED_AT_ONCE = 10_000
UPLOAD_ABANDONED_AFTER = timedelta(minutes=2)
"""without progress: the API process that read it has ended"""
RULE_ABANDONED_AFTER = timedelta(hours=1)
"""without progress: longer than its activity's retries take"""

FAIL_ABANDONED = """
UPDATE audience_imports
   SET status = 'failed', finished_at = $1, failure = 'It made no progress: the process that ran it has ended.'
 WHERE status = 'running' AND last_progress_at < CASE kind WHEN 'upload' THEN $2::timestamptz ELSE $3 END
   AND ($4::text IS NULL OR audience_id = $4)
"""


async def fail_abandoned_imports(conn: Connection, audience_id: str | None, now: datetime) -> None:
    """Fails the running imports, of one audience or of all, that made no progress for too long."""
    await conn.execute(FAIL_ABANDONED, now, now - UPLOAD_ABANDONED_AFTER, now - RULE_ABANDONED_AFTER, audience_id)


NOT_IN_FORCE = """
SELECT i.import_id FROM audience_imports i
 WHERE i.cleared_at IS NULL AND i.status <> 'running' AND ($1::text IS NULL OR i.audience_id = $1)
   AND NOT EXISTS (SELECT FROM audiences a WHERE a.audience_id = i.audience_id AND a.import_id = i.import_id)
 ORDER BY i.import_id LIMIT 1
"""


async def find_replaced_import(database: Database, audience_id: str | None) -> int | None:
    """Returns an import that has ended and is not in force, but still has members; of one audience or of any."""
    async with connection(database) as conn:
        found = await conn.fetchval(NOT_IN_FORCE, audience_id)
    return None if found is None else int(found)


# Deleted rows stay in the index until vacuum: every slice begins where the last one ended, or it would read them all again.
LAST_OF_SLICE = """
SELECT user_id FROM audience_members WHERE import_id = $1 AND user_id > $2 ORDER BY user_id OFFSET $3 LIMIT 1
"""
DELETE_MEMBERS = "DELETE FROM audience_members WHERE import_id = $1 AND user_id > $2 AND ($3::text IS NULL OR user_id <= $3)"
MARK_CLEARED = "UPDATE audience_imports SET cleared_at = $2 WHERE import_id = $1"


async def delete_members(
    database: Database, import_id: int, after: str, now: datetime, at_once: int = DELETED_AT_ONCE
) -> str | None:
    """Deletes the next slice of a replaced import's members; returns its last user, None when no member is left."""
    async with transaction(database) as conn:
        until: str | None = await conn.fetchval(LAST_OF_SLICE, import_id, after, at_once - 1)
        await conn.execute(DELETE_MEMBERS, import_id, after, until)
        if until is None:
            await conn.execute(MARK_CLEARED, import_id, now)
    return until


async def clean_up_audiences(database: Database, now: datetime) -> None:
    """Reconciliation: fails abandoned imports, and deletes one slice of the members that no workflow deletes."""
    async with transaction(database) as conn:
        await fail_abandoned_imports(conn, None, now)
    if (import_id := await find_replaced_import(database, None)) is not None:
        await delete_members(database, import_id, "", now)
