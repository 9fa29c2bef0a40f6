"""Plays operators who fill an audience of its own, on one server."""

import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from temporalio.client import Client, WorkflowHandle

from db.audiences.imports import ImportProgress, add_members, begin_import, finish_import
from db.audiences.store import read_audience, save_audience
from db.core.connection import Database, connection
from domain.ids import audience_workflow_id
from domain.messages.acts import command_line_author as author
from domain.schemas.audiences import AudienceImport, AudienceRule
from workflows.starters import start_audience_import

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


@dataclass
class Audience:
    client: Client
    database: Database
    audience_id: str
    last_import: int = 0

    @classmethod
    async def made(cls, client: Client, database: Database) -> "Audience":
        audience_id = f"audience-{uuid.uuid4().hex[:8]}"
        await save_audience(database, audience_id, "Best buyers", by=author("ann"), now=datetime.now(UTC))
        return cls(client, database, audience_id)

    async def begin(self, rule: AudienceRule | None) -> int:
        now = datetime.now(UTC)
        self.last_import = await begin_import(self.database, self.audience_id, rule, by=author("ann"), now=now)
        return self.last_import

    async def uploaded(self, *user_ids: str) -> int:
        """An import that an upload has finished."""
        import_id, now = await self.begin(None), datetime.now(UTC)
        await add_members(self.database, import_id, set(user_ids), ImportProgress(len(user_ids), len(user_ids), 0, ()), now)
        await finish_import(self.database, import_id, now)
        return import_id

    async def start(self, import_id: int) -> None:
        await start_audience_import(self.client, self.audience_id, import_id)

    def handle(self, import_id: int) -> WorkflowHandle[Any, str]:
        return self.client.get_workflow_handle(audience_workflow_id(self.audience_id, import_id), result_type=str)

    async def latest_import(self) -> AudienceImport:
        found = (await read_audience(self.database, self.audience_id)).filling
        assert found is not None
        return found

    async def members(self) -> set[str]:
        """Those in force. No others are left, and their number is the one that operators see."""
        sql = """
        SELECT m.user_id, i.import_id = a.import_id AS in_force
          FROM audiences a JOIN audience_imports i USING (audience_id) JOIN audience_members m ON m.import_id = i.import_id
         WHERE a.audience_id = $1
        """
        async with connection(self.database) as conn:
            rows = await conn.fetch(sql, self.audience_id)
        assert all(row["in_force"] for row in rows)
        found = {row["user_id"] for row in rows}
        assert (await read_audience(self.database, self.audience_id)).member_count == len(found)
        return found
