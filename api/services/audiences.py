"""Filling audiences: an upload is read here, piece by piece; a rule is a workflow's job."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import UTC, datetime

from temporalio.client import Client
from temporalio.service import RPCError

from api.http.temporal_errors import answered_within
from db.audiences.imports import ImportProgress, add_members, begin_import, fail_import, finish_import
from db.core.connection import INFRASTRUCTURE_FAILURES, Database
from domain.audience_upload import UploadFormat, UploadParser
from domain.errors import ErrorCode, Refusal, Unavailable
from domain.schemas.audiences import AudienceRule
from workflows.starters import start_audience_import

log = logging.getLogger("groupbuy.api")

USERS_AT_ONCE = 10_000
SHOW_EVERY = 1.0
"""seconds after which progress is written, however little it is"""
NEXT_PIECE_WITHIN = 60.0
BROKE_OFF = "The upload broke off after line {}."


async def upload_members(
    database: Database, client: Client, audience_id: str, upload_format: UploadFormat, pieces: AsyncIterator[bytes], *, by: str
) -> int:
    """Replaces an audience's members by those that an upload names, or leaves the former ones; returns the filling.

    Raises:
        Refusal: audience_not_found, audience_conflict (another filling is under way), invalid_request (it names nobody, or
            stopped coming).
        ClientDisconnect: it broke off.
    """
    filling = await begin_import(database, audience_id, None, by=by, now=datetime.now(UTC))
    upload = _Upload(database, filling, UploadParser(upload_format))
    try:
        await upload.read(pieces)
        await finish_import(database, filling, datetime.now(UTC))
    except BaseException as stopped:
        # Also when this process is being stopped: what cannot be written now is found by the net.
        with suppress(*INFRASTRUCTURE_FAILURES):
            await asyncio.shield(fail_import(database, filling, upload.why_failed(stopped), datetime.now(UTC)))
        raise
    finally:
        await _clear_in_time(client, audience_id, filling)
    return filling


async def import_by_rule(
    database: Database, client: Client, audience_id: str, rule: AudienceRule, *, by: str, within: float
) -> int:
    """Starts a rule's job; returns the filling.

    Raises:
        Refusal: audience_not_found, audience_conflict (another filling is under way).
        Unavailable: Temporal is away, and nothing was started.
    """
    filling = await begin_import(database, audience_id, rule, by=by, now=datetime.now(UTC))
    try:
        async with answered_within(within):
            await start_audience_import(client, audience_id, filling)
    except Unavailable:
        await fail_import(database, filling, "Temporal did not take its workflow.", datetime.now(UTC))
        raise
    return filling


class _Upload:
    def __init__(self, database: Database, filling: int, ids: UploadParser) -> None:
        self._database = database
        self._filling = filling
        self._ids = ids
        self._waiting: list[str] = []
        self._written_at = time.monotonic()

    async def read(self, pieces: AsyncIterator[bytes]) -> None:
        while (piece := await _next(pieces)) is not None:
            self._waiting += self._ids.feed(piece)
            if len(self._waiting) >= USERS_AT_ONCE or time.monotonic() - self._written_at > SHOW_EVERY:
                await self._write()
        self._waiting += self._ids.finish()
        await self._write()
        if not self._ids.accepted:
            raise Refusal(ErrorCode.INVALID_REQUEST, self._names_nobody())

    def why_failed(self, stopped: BaseException) -> str:
        return stopped.detail if isinstance(stopped, Refusal) else BROKE_OFF.format(self._ids.seen)

    async def _write(self) -> None:
        ids = self._ids
        progress = ImportProgress(ids.seen, ids.accepted, ids.bad, ids.report)
        await add_members(self._database, self._filling, set(self._waiting), progress, datetime.now(UTC))
        self._waiting.clear()
        self._written_at = time.monotonic()

    def _names_nobody(self) -> str:
        first = self._ids.report[:1]
        said = f" Line {first[0].line}: {first[0].reason}." if first else ""
        return f"No line names a user; the former members stay.{said}"


async def _next(pieces: AsyncIterator[bytes]) -> bytes | None:
    try:
        async with asyncio.timeout(NEXT_PIECE_WITHIN):
            return await anext(pieces, None)
    except TimeoutError:
        raise Refusal(
            ErrorCode.INVALID_REQUEST, f"Nothing came for {NEXT_PIECE_WITHIN:.0f} s; the former members stay."
        ) from None


async def _clear_in_time(client: Client, audience_id: str, filling: int) -> None:
    """Lets a workflow delete what is no longer in force; without Temporal the net does, more slowly."""
    try:
        await start_audience_import(client, audience_id, filling)
    except RPCError as error:
        log.warning("no workflow deletes the former members of audience %s: %s", audience_id, error)
