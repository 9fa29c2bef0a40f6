"""Who made our tables in a database, by the audit: `groupbuy up` writes without asking only where it did."""

from datetime import datetime

from db.core.connection import Connection, Database, transaction
from db.settings.audit import record_change
from domain.messages.acts import Author

SUBJECT = "database/schema"


async def read_revision(conn: Connection) -> str | None:
    """Returns the revision of the schema; None where there are no tables of ours."""
    if await conn.fetchval("SELECT to_regclass('alembic_version')") is None:
        return None
    revision = await conn.fetchval("SELECT version_num FROM alembic_version")
    return str(revision) if revision else None


async def record_upgrade(database: Database, before: str | None, *, by: Author, now: datetime) -> None:
    """Records that `by` created our tables or brought them to another revision, if that is so."""
    async with transaction(database) as conn:
        revision = await read_revision(conn)
        if revision != before:
            await record_change(conn, SUBJECT, {"created": before is None, "revision": revision}, by=by, now=now)


CREATED_BY = """
SELECT EXISTS (SELECT FROM changes
                WHERE (subject, via, changed_by) = ($1, $2, $3) AND content @> '{"created": true}')
"""


async def was_created_by(conn: Connection, author: Author) -> bool:
    """Returns whether `author` created our tables."""
    if await read_revision(conn) is None:
        return False
    return bool(await conn.fetchval(CREATED_BY, SUBJECT, author.via, author.operator))
