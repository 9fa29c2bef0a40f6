"""Exports: begins them, starts their workflow, and streams their files."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from itertools import count

from temporalio.client import Client

from api.http.temporal_errors import time_limit
from db.core.connection import Database
from db.exports import ExportFilter, begin_export, fail_export, read_chunk, read_export
from domain.errors import ErrorCode, Refusal, Unavailable
from domain.messages.acts import Act
from domain.schemas.exports import Export, ExportKind, ExportStatus
from workflows.starters import start_export


class ExportService:
    def __init__(self, database: Database, client: Client, *, answer_within: float) -> None:
        self._database = database
        self._client = client
        self._answer_within = answer_within

    async def begin(self, kind: ExportKind, filters: ExportFilter, act: Act) -> Export:
        """Lets a workflow write a list as a file.

        Raises:
            Refusal: rate_limited.
            Unavailable: Temporal did not answer, and nothing was started.
        """
        export = await begin_export(self._database, kind, filters, act=act, now=datetime.now(UTC))
        if export.status is not ExportStatus.RUNNING:
            return export
        try:
            async with time_limit(self._answer_within):
                await start_export(self._client, export)
        except Unavailable:
            await fail_export(self._database, export.export_id, "Temporal did not take its workflow.", datetime.now(UTC))
            raise
        return export

    async def file(self, export_id: str) -> tuple[Export, AsyncIterator[bytes]]:
        """Returns a finished export, and its file in parts.

        Raises:
            Refusal: export_not_found, export_not_ready.
        """
        export = await read_export(self._database, export_id)
        if export.status is not ExportStatus.DONE:
            raise Refusal(ErrorCode.EXPORT_NOT_READY, f"Export {export_id} is {export.status}.")
        return export, self._parts(export_id)

    async def _parts(self, export_id: str) -> AsyncIterator[bytes]:
        for chunk_no in count():
            part = await read_chunk(self._database, export_id, chunk_no)
            if part is None:
                return
            yield part
