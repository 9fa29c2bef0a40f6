"""Audiences: names, the import in force and membership."""

import json
from datetime import datetime
from typing import Any

from db.core.connection import Database, Row, connection, fetch_one, transaction
from db.core.pagination import Position
from db.settings.audit import FormAct, hold_subject, is_repeat, record_change
from domain.errors import ErrorCode, Refusal
from domain.ids import audience_workflow_id
from domain.messages.acts import Author
from domain.schemas.audiences import Audience, AudienceImport, AudienceRule, BadLine, ImportKind
from domain.schemas.workflows import WorkflowLink

AUDIENCES = """
SELECT a.audience_id, a.name, a.member_count AS members, a.created_at, a.updated_at, i.*
  FROM audiences a LEFT JOIN LATERAL (
       SELECT import_id, kind, rule, status, failure, seen, accepted, bad, member_count, report,
              author, started_at, finished_at
         FROM audience_imports WHERE audience_id = a.audience_id ORDER BY import_id DESC LIMIT 1) i ON true
"""
READ_AUDIENCE = f"{AUDIENCES} WHERE a.audience_id = $1"
LIST_AUDIENCES = f"""{AUDIENCES}
 WHERE $1::timestamptz IS NULL OR (a.created_at, a.audience_id) < ($1, $2)
 ORDER BY a.created_at DESC, a.audience_id DESC LIMIT $3
"""


async def read_audience(database: Database, audience_id: str) -> Audience:
    """Returns an audience with its latest import.

    Raises:
        Refusal: audience_not_found.
    """
    async with connection(database) as conn:
        row = await conn.fetchrow(READ_AUDIENCE, audience_id)
    if row is None:
        raise audience_not_found(audience_id)
    return _audience(row)


async def list_audiences(database: Database, after: Position | None, limit: int) -> list[Audience]:
    """Returns audiences with their latest imports, newest first, without the reports of bad lines."""
    position = (after.moment, after.row_id) if after else (None, None)
    async with connection(database) as conn:
        rows = await conn.fetch(LIST_AUDIENCES, *position, limit)
    return [_audience({**row, "report": "[]"}) for row in rows]


READ_IMPORT = "SELECT * FROM audience_imports WHERE import_id = $1"


async def read_import(database: Database, import_id: int) -> AudienceImport:
    """
    Raises:
        LookupError: there is none.
    """
    async with connection(database) as conn:
        return _import(await fetch_one(conn, READ_IMPORT, import_id))


IS_MEMBER = """
SELECT EXISTS (SELECT FROM audience_members m WHERE m.import_id = a.import_id AND m.user_id = $2)
  FROM audiences a WHERE a.audience_id = $1
"""


async def is_member(database: Database, audience_id: str, user_id: str) -> bool:
    """
    Raises:
        Refusal: audience_not_found.
    """
    async with connection(database) as conn:
        found = await conn.fetchval(IS_MEMBER, audience_id, user_id)
    if found is None:
        raise audience_not_found(audience_id)
    return bool(found)


SAVE_AUDIENCE = """
INSERT INTO audiences (audience_id, name, member_count, created_at, updated_at) VALUES ($1, $2, 0, $3, $3)
ON CONFLICT (audience_id) DO UPDATE SET name = excluded.name, updated_at = excluded.updated_at
"""


async def save_audience(
    database: Database, audience_id: str, name: str, *, by: Author, now: datetime, form: FormAct | None = None
) -> None:
    """Creates an audience without members, or renames one. The same form again changes nothing.

    Raises:
        ChangedSinceError: the audience is not as it was when the form was shown.
    """
    subject, content = f"audience/{audience_id}", {"audience_id": audience_id, "name": name}
    async with transaction(database) as conn:
        await hold_subject(conn, subject)
        if await is_repeat(conn, subject, form):
            return
        await conn.execute(SAVE_AUDIENCE, audience_id, name, now)
        await record_change(conn, subject, content, by=by, now=now, form=form)


def audience_not_found(audience_id: str) -> Refusal:
    return Refusal(ErrorCode.AUDIENCE_NOT_FOUND, f"There is no audience {audience_id}.")


def _audience(row: Row | dict[str, Any]) -> Audience:
    return Audience(
        audience_id=row["audience_id"],
        name=row["name"],
        member_count=row["members"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        filling=_import(row) if row["import_id"] is not None else None,
    )


SAME_NAMES = ("kind", "status", "failure", "seen", "accepted", "bad", "member_count", "started_at", "finished_at")


def _import(row: Row | dict[str, Any]) -> AudienceImport:
    same: dict[str, Any] = {name: row[name] for name in SAME_NAMES}
    is_rule = row["kind"] == ImportKind.RULE
    return AudienceImport(
        **same,
        filling=row["import_id"],
        started_by=Author.model_validate_json(row["author"]).operator,
        rule=AudienceRule.model_validate_json(row["rule"]) if is_rule else None,
        duplicates=row["accepted"] - row["member_count"],
        report=[BadLine(**bad) for bad in json.loads(row["report"])],
        workflow=WorkflowLink(id=audience_workflow_id(row["audience_id"], row["import_id"])) if is_rule else None,
    )
