"""The audit: who changed which setting, and when."""

import json
from collections.abc import Mapping
from datetime import datetime

from pydantic import BaseModel

from db.core.connection import Connection, Database, connection
from db.core.pagination import Conditions
from domain.schemas.audit import Change

RECORD_CHANGE = "INSERT INTO changes (changed_at, changed_by, subject, content) VALUES ($1, $2, $3, $4)"


async def record_change(
    conn: Connection, subject: str, content: BaseModel | Mapping[str, object], *, by: str, now: datetime
) -> None:
    """Records the complete new content of a subject (e.g. campaign/100123), in the transaction that changes it."""
    stored = content.model_dump_json() if isinstance(content, BaseModel) else json.dumps(content)
    await conn.execute(RECORD_CHANGE, now, by, subject, stored)


async def list_changes(
    database: Database, subject: str | None, changed_by: str | None, before: int | None, limit: int
) -> list[Change]:
    """Returns the changes numbered below `before`, newest first. A subject without an id (`campaign`) selects the kind."""
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
