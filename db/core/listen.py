"""Notices between processes by LISTEN and NOTIFY. A changed setting is notified in its transaction, by a trigger."""

import asyncio
import json
import logging
import time
from collections.abc import Callable, Mapping
from contextlib import suppress

import asyncpg

from db.core.connection import INFRASTRUCTURE_FAILURES, Database, connection, open_connection

log = logging.getLogger("groupbuy.notices")

CHANGED = "groupbuy_changed"
"""payload: what was changed, e.g. campaign/100123"""
REQUEST_COUNTS = "groupbuy_request_counts"
"""payload: the process, and its requests of a second by mall"""

CHECK_EVERY = 0.4
CONFIRMED_FOR = 1.0
RECONNECT_AFTER = 0.2


class Listener:
    """Listens on one connection, and checks that it is alive: while it is not, caches must not be used."""

    def __init__(
        self, database_url: str, handlers: Mapping[str, Callable[[str], None]], on_connect: Callable[[], None]
    ) -> None:
        """`handlers` receive the payloads by channel; `on_connect` is called whenever listening begins."""
        self._database_url = database_url
        self._handlers = handlers
        self._on_connect = on_connect
        self._confirmed_until = 0.0

    @property
    def is_listening(self) -> bool:
        """Whether every notice is received: the connection answered within CONFIRMED_FOR and has not ended since."""
        return time.monotonic() < self._confirmed_until

    async def run(self) -> None:
        """Listens until cancelled; reconnects when the connection is lost."""
        while True:
            try:
                await self._listen()
            except (*INFRASTRUCTURE_FAILURES, asyncpg.PostgresError) as error:
                log.warning("not listening: %s: %s", type(error).__name__, error)
            await asyncio.sleep(RECONNECT_AFTER)

    async def _listen(self) -> None:
        conn = await open_connection(self._database_url)
        lost = asyncio.Event()

        def end(_: object) -> None:
            self._confirmed_until = 0.0
            lost.set()

        try:
            conn.add_termination_listener(end)
            for channel, handle in self._handlers.items():
                await conn.add_listener(channel, lambda *notice, handle=handle: handle(notice[-1]))
            # Notices that were sent before are missed.
            self._on_connect()
            while not lost.is_set():
                checked_at = time.monotonic()
                # A connection whose packets are dropped shows no end, only this missing answer.
                await conn.fetchval("SELECT 1", timeout=CONFIRMED_FOR)
                if not lost.is_set():
                    self._confirmed_until = checked_at + CONFIRMED_FOR
                with suppress(TimeoutError):
                    await asyncio.wait_for(lost.wait(), CHECK_EVERY)
        finally:
            self._confirmed_until = 0.0
            conn.terminate()


# Nothing here must survive a crash, so the commit does not wait for the disk.
NOTIFY_ASYNC = "SELECT set_config('synchronous_commit', 'off', true), pg_notify($1, $2)"


async def notify_request_counts(database: Database, process: str, counts: Mapping[str, int]) -> None:
    async with connection(database) as conn:
        await conn.execute(NOTIFY_ASYNC, REQUEST_COUNTS, json.dumps([process, counts]))
