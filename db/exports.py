"""Exports: lists as CSV files, written and read in compressed chunks, so that no process ever holds a whole one."""

import asyncio
import gzip
import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from pydantic import BaseModel, TypeAdapter

from db.core.connection import Connection, Database, Row, connection, fetch_one, transaction
from db.core.pagination import Position
from db.orders.queries import OrderFilter, list_ops_orders, order_key
from db.refunds.queries import RefundFilter, list_refunds, refund_key
from db.settings.audit import ChangeFilter, change_key, find_outcome, list_changes, record_act
from db.settlements import SettlementFilter, list_settlements, settlement_key
from db.statistics import StatisticsFilter, list_statistics, statistics_key
from db.teams.queries import TeamFilter, list_teams, team_key
from domain.csv_text import BYTE_ORDER_MARK, ROWS_AT_ONCE, csv_header, csv_lines
from domain.errors import ErrorCode, Refusal
from domain.ids import export_workflow_id
from domain.messages.acts import Act, Outcome
from domain.messages.exports import ExportState
from domain.schemas.audit import Change
from domain.schemas.exports import KEPT, Export, ExportKind, ExportStatus
from domain.schemas.orders import OpsOrder
from domain.schemas.refunds import OpsRefund
from domain.schemas.settlements import MonthlySettlement
from domain.schemas.statistics import DayStatistics
from domain.schemas.teams import OpsTeam
from domain.schemas.workflows import WorkflowLink

ABANDONED = timedelta(days=2)
"""a running one that is older has no workflow any more"""
AT_ONCE = 3
"""running exports of one person"""
SHOWN = 50
CHUNK = 2000
"""rows of one transaction"""

ExportFilter = OrderFilter | RefundFilter | TeamFilter | StatisticsFilter | SettlementFilter | ChangeFilter


@dataclass(frozen=True, slots=True)
class _List:
    """A list that can be exported."""

    model: type[BaseModel]
    filters: TypeAdapter[Any]
    read: Callable[[Database, Any, Position | None, int], Awaitable[Sequence[Any]]]
    key: Callable[[Any], tuple[datetime, str]]


async def _list_changes(database: Database, filters: ChangeFilter, after: Position | None, limit: int) -> list[Change]:
    return await list_changes(database, filters, int(after.row_id) if after else None, limit)


LISTS = {
    ExportKind.ORDERS: _List(OpsOrder, TypeAdapter(OrderFilter), list_ops_orders, order_key),
    ExportKind.REFUNDS: _List(OpsRefund, TypeAdapter(RefundFilter), list_refunds, refund_key),
    ExportKind.TEAMS: _List(OpsTeam, TypeAdapter(TeamFilter), list_teams, team_key),
    ExportKind.STATISTICS: _List(DayStatistics, TypeAdapter(StatisticsFilter), list_statistics, statistics_key),
    ExportKind.SETTLEMENTS: _List(MonthlySettlement, TypeAdapter(SettlementFilter), list_settlements, settlement_key),
    ExportKind.AUDIT: _List(Change, TypeAdapter(ChangeFilter), _list_changes, change_key),
}

ONE_AT_A_TIME = "SELECT pg_advisory_xact_lock(hashtextextended($1, 7242005))"
RUNNING = "SELECT count(*) FROM exports WHERE requested_by = $1 AND status = 'running' AND requested_at > $2"
BEGIN = """
INSERT INTO exports (export_id, kind, filters, status, rows, chunks, requested_by, requested_at)
VALUES ($1, $2, $3, 'running', 0, 0, $4, $5) RETURNING *
"""


async def begin_export(database: Database, kind: ExportKind, filters: ExportFilter, *, act: Act, now: datetime) -> Export:
    """Begins an export under the id of the act, which is recorded; a repeat returns it as it is.

    Raises:
        Refusal: rate_limited, where the person has several that are running.
    """
    given = LISTS[kind].filters.dump_python(filters, mode="json", exclude_none=True)
    who = act.author.operator
    async with transaction(database) as conn:
        await conn.execute(ONE_AT_A_TIME, who)
        subject = f"export/{act.id}"
        if await find_outcome(conn, subject, act):
            return _export(await _read(conn, act.id))
        if await conn.fetchval(RUNNING, who, now - ABANDONED) >= AT_ONCE:
            raise Refusal(ErrorCode.RATE_LIMITED, f"{who} has {AT_ONCE} running exports; wait for one.", retry_after=10)
        row = await fetch_one(conn, BEGIN, act.id, kind, json.dumps(given), who, now)
        detail = ", ".join([kind, *(f"{name}={value}" for name, value in given.items())])
        await record_act(conn, subject, "export", act, Outcome(changed=True, detail=detail), now)
        return _export(row)


EXPORT = "SELECT * FROM exports WHERE export_id = $1"


async def read_export(database: Database, export_id: str) -> Export:
    """Returns an export.

    Raises:
        Refusal: export_not_found.
    """
    async with connection(database) as conn:
        return _export(await _read(conn, export_id))


async def _read(conn: Connection, export_id: str) -> Row:
    row = await conn.fetchrow(EXPORT, export_id)
    if row is None:
        raise Refusal(ErrorCode.EXPORT_NOT_FOUND, f"There is no export {export_id}; a file is kept for a day.")
    return row


LATEST = "SELECT * FROM exports ORDER BY requested_at DESC, export_id LIMIT $1"


async def list_exports(database: Database) -> list[Export]:
    """Returns the latest exports that are running or kept."""
    async with connection(database) as conn:
        return [_export(row) for row in await conn.fetch(LATEST, SHOWN)]


def _export(row: Row) -> Export:
    fields = {name: row[name] for name in set(Export.model_fields) - {"filters", "reached", "workflow"}}
    link = WorkflowLink(id=export_workflow_id(row["export_id"]))
    return Export(**fields, filters=json.loads(row["filters"]), reached=row["after_at"], workflow=link)


# --- writing ---

ADD_CHUNK = """
WITH progress AS (
  UPDATE exports SET chunks = chunks + 1, rows = rows + $4, after_at = coalesce($5, after_at), after_id = coalesce($6, after_id)
   WHERE export_id = $1 AND chunks = $2 AND status = 'running' RETURNING export_id
)
INSERT INTO export_chunks (export_id, chunk_no, content) SELECT export_id, $2, $3 FROM progress RETURNING chunk_no
"""
FINISH = """
UPDATE exports SET status = 'done', finished_at = $2, kept_until = $3 WHERE export_id = $1 AND status = 'running'
"""


async def write_chunk(database: Database, export_id: str, now: datetime) -> ExportState:
    """Writes the next chunk of a running export, and ends it with the last one. Safe to repeat: the rows say how far it is."""
    async with connection(database) as conn:
        row = await _read(conn, export_id)
    if row["status"] != ExportStatus.RUNNING:
        return ExportState(status=row["status"], rows=row["rows"])
    exported = LISTS[ExportKind(row["kind"])]
    filters = exported.filters.validate_json(row["filters"])
    after = Position(row["after_at"], row["after_id"]) if row["after_at"] else None
    parts = [] if row["chunks"] else [BYTE_ORDER_MARK, csv_header(exported.model)]
    count, is_last = 0, False
    while count < CHUNK and not is_last:
        items = await exported.read(database, filters, after, ROWS_AT_ONCE)
        parts.append(csv_lines(items))
        count, is_last = count + len(items), len(items) < ROWS_AT_ONCE
        after = Position(*exported.key(items[-1])) if items else after
    position = (after.moment, after.row_id) if after else (None, None)
    content = await asyncio.to_thread(gzip.compress, "".join(parts).encode(), 6)
    async with transaction(database) as conn:
        added = await conn.fetchval(ADD_CHUNK, export_id, row["chunks"], content, count, *position)
        if added is None:  # another attempt was faster
            return ExportState(status=ExportStatus.RUNNING, rows=row["rows"])
        if is_last:
            await conn.execute(FINISH, export_id, now, now + KEPT)
    return ExportState(status=ExportStatus.DONE if is_last else ExportStatus.RUNNING, rows=row["rows"] + count)


FAIL = """
WITH failed AS (
  UPDATE exports SET status = 'failed', failure = $2, finished_at = $3, kept_until = $4
   WHERE export_id = $1 AND status = 'running' RETURNING export_id
)
DELETE FROM export_chunks c USING failed WHERE c.export_id = failed.export_id
"""


async def fail_export(database: Database, export_id: str, why: str, now: datetime) -> None:
    """Fails a running export, and deletes what there is of its file."""
    async with connection(database) as conn:
        await conn.execute(FAIL, export_id, why, now, now + KEPT)


DELETE = "DELETE FROM exports WHERE kept_until <= $1 OR status = 'running' AND requested_at <= $2"


async def delete_exports(database: Database, now: datetime) -> None:
    """Deletes exports that are kept no longer, with their files, also those that an ended workflow has left."""
    async with connection(database) as conn:
        await conn.execute(DELETE, now, now - ABANDONED)


# --- reading ---

READ_CHUNK = "SELECT content FROM export_chunks WHERE export_id = $1 AND chunk_no = $2"


async def read_chunk(database: Database, export_id: str, chunk_no: int) -> bytes | None:
    """Returns a part of a file; None: there is no further one."""
    async with connection(database) as conn:
        content: bytes | None = await conn.fetchval(READ_CHUNK, export_id, chunk_no)
    return None if content is None else await asyncio.to_thread(gzip.decompress, content)
