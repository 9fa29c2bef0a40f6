"""The audit: who changed which setting or did what, by which way, when, and what came of it. The table is append-only."""

import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from pydantic import BaseModel

from db.core.connection import Connection, Database, Row, connection, transaction
from db.core.pagination import Conditions
from domain.messages.acts import Act, Author, Outcome
from domain.schemas.audit import Change

RECORD = """
INSERT INTO changes (changed_at, changed_by, via, key_id, request_id, address, subject, action, reason, changed, outcome,
                     content, act_id)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
"""


async def record_change(
    conn: Connection,
    subject: str,
    content: BaseModel | Mapping[str, object],
    *,
    by: Author,
    now: datetime,
    act_id: str | None = None,
) -> None:
    """Records the complete new content of a subject (e.g. campaign/100123), in the transaction that changes it.

    `act_id` names the request, which `find_changed` then finds when it is repeated.
    """
    stored = content.model_dump_json() if isinstance(content, BaseModel) else json.dumps(content)
    await conn.execute(RECORD, now, *_author(by), subject, "set", None, True, None, stored, act_id)


async def record_act(conn: Connection, subject: str, action: str, act: Act, outcome: Outcome, now: datetime) -> Outcome:
    """Records an operator's act with what came of it, in the transaction that does it; returns the outcome."""
    what = (subject, action, act.reason or None, outcome.changed, outcome.detail)
    await conn.execute(RECORD, now, *_author(act.author), *what, None, act.id)
    return outcome


async def record_unchanged(database: Database, subject: str, action: str, act: Act, detail: str, now: datetime) -> Outcome:
    """Records an act that its subject's rows leave nothing to do for; returns the outcome, for a repeat the recorded one."""
    async with transaction(database) as conn:
        if earlier := await find_outcome(conn, subject, act):
            return earlier
        return await record_act(conn, subject, action, act, Outcome(changed=False, detail=detail), now)


RECORDED_OUTCOME = "SELECT changed, outcome FROM changes WHERE act_id = $1 AND subject = $2"


async def find_outcome(conn: Connection, subject: str, act: Act) -> Outcome | None:
    """Returns what came of this act when it arrived before; to be read under the subject's lock."""
    row = await conn.fetchrow(RECORDED_OUTCOME, act.id, subject)
    return Outcome(changed=row["changed"], detail=row["outcome"]) if row else None


ONE_REPEAT_AT_A_TIME = "SELECT pg_advisory_xact_lock(hashtextextended($1, 7242006))"


async def hold_repeats(conn: Connection, act_id: str) -> None:
    """Lets other requests with this id wait until the transaction ends: they then find what this one has recorded.

    For acts without one row to lock. Called before any row lock, or it could deadlock with them.
    """
    await conn.execute(ONE_REPEAT_AT_A_TIME, act_id)


CHANGED_SUBJECT = """
SELECT split_part(subject, '/', 2) FROM changes WHERE act_id = $1 AND split_part(subject, '/', 1) = $2
"""


async def find_changed(conn: Connection, kind: str, act_id: str) -> str | None:
    """Returns the id of the subject of this kind that the same request made or changed before; to be read under a lock."""
    found: str | None = await conn.fetchval(CHANGED_SUBJECT, act_id, kind)
    return found


def _author(author: Author) -> tuple[str | None, ...]:
    return author.operator, author.via, author.key_id, author.request_id, author.address


@dataclass(frozen=True, slots=True)
class ChangeFilter:
    subject: str | None = None
    """of one subject; without an id (`campaign`) of all of its kind"""
    changed_by: str | None = None
    since: datetime | None = None
    until: datetime | None = None

    def conditions(self) -> Conditions:
        conditions = Conditions()
        if self.subject is not None:
            conditions.equal("subject" if "/" in self.subject else "split_part(subject, '/', 1)", self.subject)
        conditions.equal("changed_by", self.changed_by)
        conditions.at_least("changed_at", self.since)
        conditions.below("changed_at", self.until)
        return conditions


COLUMNS = ", ".join(Change.model_fields)


async def list_changes(database: Database, filters: ChangeFilter, before: int | None, limit: int) -> list[Change]:
    """Returns the changes numbered below `before`, newest first."""
    conditions = filters.conditions()
    conditions.below("change_no", before)
    sql = f"SELECT {COLUMNS} FROM changes WHERE {conditions} ORDER BY change_no DESC LIMIT {int(limit)}"
    async with connection(database) as conn:
        return [_change(row) for row in await conn.fetch(sql, *conditions.values)]


CHANGED_BY_OTHERS = "SELECT EXISTS (SELECT FROM changes WHERE subject = $1 AND (via, changed_by) <> ($2, $3))"


async def was_changed_by_others(database: Database, subject: str, author: Author) -> bool:
    """Returns whether anybody but `author` has changed the subject."""
    async with connection(database) as conn:
        return bool(await conn.fetchval(CHANGED_BY_OTHERS, subject, author.via, author.operator))


EXPORTED_AT_ONCE = 500


async def export_changes(database: Database, filters: ChangeFilter) -> AsyncIterator[list[Change]]:
    """Returns all changes, oldest first, in slices; between two of them no connection is held."""
    after = 0
    while True:
        conditions = filters.conditions()
        conditions.add("change_no > {}", after)
        sql = f"SELECT {COLUMNS} FROM changes WHERE {conditions} ORDER BY change_no LIMIT {EXPORTED_AT_ONCE}"
        async with connection(database) as conn:
            rows = await conn.fetch(sql, *conditions.values)
        if not rows:
            return
        after = rows[-1]["change_no"]
        yield [_change(row) for row in rows]


def _change(row: Row) -> Change:
    return Change(**{**row, "content": json.loads(row["content"]) if row["content"] else None})
