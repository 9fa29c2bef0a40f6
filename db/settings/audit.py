"""Who changed what, and when."""

import json

from db.core.connection import Database, connection
from db.core.pagination import Conditions
from domain.schemas.audit import Change

RECORD_CHANGE = "INSERT INTO changes (changed_at, changed_by, subject, content) VALUES ($1, $2, $3, $4)"


async def list_changes(
    database: Database, subject: str | None, changed_by: str | None, before: int | None, limit: int
) -> list[Change]:
    """The latest first, those before that number; a subject without an id (`campaign`) stands for all of its kind."""
    conditions = Conditions()
    if subject is not None:
        conditions.equal("subject" if "/" in subject else "split_part(subject, '/', 1)", subject)
    conditions.equal("changed_by", changed_by)
    conditions.below("change_no", before)
    sql = f"""
        SELECT change_no, changed_at, changed_by, subject, content FROM changes
         WHERE {conditions} ORDER BY change_no DESC LIMIT {int(limit)}
    """
    async with connection(database) as conn:
        rows = await conn.fetch(sql, *conditions.values)
    return [Change(**{**row, "content": json.loads(row["content"])}) for row in rows]
