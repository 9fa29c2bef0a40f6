"""The audit: who changed which setting or did what, by which way, when, and what came of it. The table is append-only."""

import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import BaseModel

from db.core.connection import Connection, Database, Row, connection, fetch_one, transaction
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
    form: "FormAct | None" = None,
) -> None:
    """Records the complete new content of a subject (e.g. campaign/100123), in the transaction that changes it.

    `form` is what asked for the change, which is found by it when it is sent again (`find_changed`, `is_repeat`).
    """
    stored = content.model_dump_json() if isinstance(content, BaseModel) else json.dumps(content)
    await conn.execute(RECORD, now, *_author(by), subject, "set", None, True, None, stored, form and form.act_id)


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


async def record_session(database: Database, action: str, author: Author, outcome: str, now: datetime) -> None:
    """Records that somebody signed in or out."""
    async with connection(database) as conn:
        what = (f"session/{author.key_id}", action, None, True, outcome)
        await conn.execute(RECORD, now, *_author(author), *what, None, None)


RECORDED_OUTCOME = "SELECT changed, outcome FROM changes WHERE act_id = $1 AND subject = $2"


async def find_outcome(conn: Connection, subject: str, act: Act) -> Outcome | None:
    """Returns what came of this act when it arrived before; to be read under the subject's lock."""
    row = await conn.fetchrow(RECORDED_OUTCOME, act.id, subject)
    return Outcome(changed=row["changed"], detail=row["outcome"]) if row else None


COLUMNS = ", ".join(Change.model_fields)
ONE_HOLDER_AT_A_TIME = "SELECT pg_advisory_xact_lock(hashtextextended($1, 7242006))"


async def hold_repeats(conn: Connection, act_id: str) -> None:
    """Lets other requests with this id wait until the transaction ends: they then find what this one has recorded.

    For acts without one row to lock. Called before any row lock, or it could deadlock with them.
    """
    await conn.execute(ONE_HOLDER_AT_A_TIME, act_id)


async def hold_subject(conn: Connection, subject: str) -> None:
    """Lets other changes of the subject wait until the transaction ends, also where it has no row yet to lock."""
    await conn.execute(ONE_HOLDER_AT_A_TIME, subject)


CHANGED_SUBJECT = """
SELECT split_part(subject, '/', 2) FROM changes WHERE act_id = $1 AND split_part(subject, '/', 1) = $2
"""


async def find_changed(conn: Connection, kind: str, act_id: str) -> str | None:
    """Returns the id of the subject of this kind that the same request made or changed before; to be read under a lock."""
    found: str | None = await conn.fetchval(CHANGED_SUBJECT, act_id, kind)
    return found


@dataclass(frozen=True, slots=True)
class FormAct:
    """What a form carries beside its fields."""

    act_id: str
    """the same in every repeat of it"""
    seen: int
    """number of the subject's latest change when the form was shown; 0: it had none"""


class ChangedSinceError(Exception):
    """The subject has been changed since the form was shown, so nothing was done.

    Attributes:
        before: the content that was shown; None where the subject had none.
        latest: the latest change since.
    """

    def __init__(self, before: Any, latest: Change) -> None:  # noqa: ANN401 - the content of any subject
        super().__init__(f"{latest.subject} has changed")
        self.before = before
        self.latest = latest


LATEST_CHANGE = "SELECT coalesce(max(change_no), 0) FROM changes WHERE subject = $1"


async def latest_change(database: Database, subject: str) -> int:
    """Returns the number of the subject's latest change, for a form. Read before what the form shows: see is_repeat."""
    async with connection(database) as conn:
        found: int = await conn.fetchval(LATEST_CHANGE, subject)
    return found


WAS_DONE = "SELECT EXISTS (SELECT FROM changes WHERE act_id = $1 AND subject = $2)"
CONTENT_THEN = "SELECT content FROM changes WHERE subject = $1 AND change_no = $2"


async def was_done(database: Database, subject: str, act_id: str) -> bool:
    """Returns whether this form has changed the subject before."""
    async with connection(database) as conn:
        return bool(await conn.fetchval(WAS_DONE, act_id, subject))


async def is_repeat(conn: Connection, subject: str, form: FormAct | None) -> bool:
    """Returns whether this form has changed the subject before. To be read under a lock that every change of the subject takes.

    Raises:
        ChangedSinceError: another change has come since the form was shown.
    """
    if form is None:
        return False
    if await conn.fetchval(WAS_DONE, form.act_id, subject):
        return True
    if await conn.fetchval(LATEST_CHANGE, subject) == form.seen:
        return False
    before = await conn.fetchval(CONTENT_THEN, subject, form.seen)
    row = await fetch_one(conn, f"SELECT {COLUMNS} FROM changes WHERE subject = $1 ORDER BY change_no DESC LIMIT 1", subject)
    raise ChangedSinceError(json.loads(before) if before else None, _change(row))


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


async def list_changes(database: Database, filters: ChangeFilter, before: int | None, limit: int) -> list[Change]:
    """Returns the changes numbered below `before`, newest first."""
    conditions = filters.conditions()
    conditions.below("change_no", before)
    sql = f"SELECT {COLUMNS} FROM changes WHERE {conditions} ORDER BY change_no DESC LIMIT {int(limit)}"
    async with connection(database) as conn:
        return [_change(row) for row in await conn.fetch(sql, *conditions.values)]


def change_key(change: Change) -> tuple[datetime, str]:
    """Returns the time and the number of a change, by which the list above is sorted."""
    return change.changed_at, str(change.change_no)


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
