"""Imports the members of audiences: uploads are read here in chunks, rules are a workflow's work."""

import asyncio
import logging
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import UTC, datetime

from temporalio.client import Client
from temporalio.service import RPCError

from api.http.temporal_errors import time_limit
from db.audiences.imports import ImportProgress, add_members, begin_import, fail_import, finish_import
from db.audiences.store import read_import
from db.core.connection import INFRASTRUCTURE_FAILURES, Database
from domain.audience_upload import UploadFormat, UploadParser
from domain.errors import ErrorCode, Refusal, Unavailable
from domain.messages.acts import Author
from domain.schemas.audiences import AudienceImport, AudienceRule
from workflows.starters import start_audience_import

log = logging.getLogger("groupbuy.api")

BATCH = 10_000
"""users written in one transaction"""
PROGRESS_INTERVAL = 1.0
"""seconds after which a smaller batch is written, too, so that operators see progress"""
CHUNK_TIMEOUT = 60.0
"""seconds without a byte after which an upload is given up"""


class AudienceService:
    def __init__(self, database: Database, client: Client, *, answer_within: float) -> None:
        self._database = database
        self._client = client
        self._answer_within = answer_within

    async def upload(
        self, audience_id: str, upload_format: UploadFormat, chunks: AsyncIterator[bytes], *, by: Author
    ) -> AudienceImport:
        """Replaces an audience's members by those that an upload names; the members stay unless it is complete.

        Raises:
            Refusal: audience_not_found, audience_conflict (another import is running), invalid_request (it names nobody, or
                stopped coming).
            ClientDisconnect: the connection broke.
        """
        import_id = await begin_import(self._database, audience_id, None, by=by, now=datetime.now(UTC))
        upload = _Upload(self._database, import_id, UploadParser(upload_format))
        try:
            await upload.read(chunks)
            await finish_import(self._database, import_id, datetime.now(UTC))
        except BaseException as error:
            # BaseException, because a process that is being stopped cancels this task. Without the database,
            # reconciliation fails the import later.
            with suppress(*INFRASTRUCTURE_FAILURES):
                await asyncio.shield(fail_import(self._database, import_id, upload.failure(error), datetime.now(UTC)))
            raise
        finally:
            await self._start_clean_up(audience_id, import_id)
        return await read_import(self._database, import_id)

    async def import_by_rule(self, audience_id: str, rule: AudienceRule, *, by: Author, act_id: str = "") -> AudienceImport:
        """Starts the workflow that replaces an audience's members by those who fulfil a rule.

        An act with an `act_id` is done once, however often it is sent; without it, each call is an act.

        Raises:
            Refusal: audience_not_found, audience_conflict (another import is running).
            Unavailable: Temporal did not answer, and nothing was started.
        """
        now = datetime.now(UTC)
        import_id = await begin_import(self._database, audience_id, rule, by=by, now=now, act_id=act_id or uuid.uuid4().hex)
        try:
            async with time_limit(self._answer_within):
                await start_audience_import(self._client, audience_id, import_id)
        except Unavailable:
            await fail_import(self._database, import_id, "Temporal did not take its workflow.", datetime.now(UTC))
            raise
        return await read_import(self._database, import_id)

    async def _start_clean_up(self, audience_id: str, import_id: int) -> None:
        """Starts the workflow that deletes replaced members; without Temporal, reconciliation deletes them more slowly."""
        try:
            await start_audience_import(self._client, audience_id, import_id)
        except RPCError as error:
            log.warning("no workflow deletes the replaced members of audience %s: %s", audience_id, error)


class _Upload:
    def __init__(self, database: Database, import_id: int, ids: UploadParser) -> None:
        self._database = database
        self._import_id = import_id
        self._ids = ids
        self._unwritten: list[str] = []
        self._written_at = time.monotonic()

    async def read(self, chunks: AsyncIterator[bytes]) -> None:
        while (chunk := await _next(chunks)) is not None:
            self._unwritten += self._ids.feed(chunk)
            if len(self._unwritten) >= BATCH or time.monotonic() - self._written_at > PROGRESS_INTERVAL:
                await self._write()
        self._unwritten += self._ids.finish()
        await self._write()
        if not self._ids.accepted:
            raise Refusal(ErrorCode.INVALID_REQUEST, self._no_user_detail())

    def failure(self, error: BaseException) -> str:
        """Why the import failed, in words for operators."""
        return error.detail if isinstance(error, Refusal) else f"The upload broke off after line {self._ids.seen}."

    async def _write(self) -> None:
        ids = self._ids
        progress = ImportProgress(ids.seen, ids.accepted, ids.bad, ids.report)
        await add_members(self._database, self._import_id, set(self._unwritten), progress, datetime.now(UTC))
        self._unwritten.clear()
        self._written_at = time.monotonic()

    def _no_user_detail(self) -> str:
        first = self._ids.report[:1]
        problem = f" Line {first[0].line}: {first[0].reason}." if first else ""
        return f"No line names a user; the former members stay.{problem}"


async def _next(chunks: AsyncIterator[bytes]) -> bytes | None:
    try:
        async with asyncio.timeout(CHUNK_TIMEOUT):
            return await anext(chunks, None)
    except TimeoutError:
        detail = f"No data came for {CHUNK_TIMEOUT:.0f} s; the former members stay."
        raise Refusal(ErrorCode.INVALID_REQUEST, detail) from None
