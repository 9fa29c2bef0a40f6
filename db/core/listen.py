"""Notices: what one process says, every process hears. A changed setting says so in its transaction (migration 0006)."""

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
"""what was changed, e.g. campaign/100123"""
COUNTED = "groupbuy_counted"
"""the requests that a process counted"""

LOOK_EVERY = 0.4
GOOD_FOR = 1.0
AGAIN_AFTER = 0.2


class Listener:
    """One connection that listens, and that is known to live: a process that cannot hear must not believe its memory."""

    def __init__(self, database_url: str, hear: Mapping[str, Callable[[str], None]], begins: Callable[[], None]) -> None:
        """`hear` has what each channel's notices go to; `begins` is called when it begins to listen, also anew."""
        self._database_url = database_url
        self._hear = hear
        self._begins = begins
        self._told_until = 0.0

    @property
    def are_told(self) -> bool:
        """Whether every notice reaches us: the connection answered within the last second, and did not end since."""
        return time.monotonic() < self._told_until

    async def run(self) -> None:
        """Listens until it is cancelled; where a connection is lost, on the next one."""
        while True:
            try:
                await self._listen()
            except (*INFRASTRUCTURE_FAILURES, asyncpg.PostgresError) as failure:
                log.warning("not listening: %s: %s", type(failure).__name__, failure)
            await asyncio.sleep(AGAIN_AFTER)

    async def _listen(self) -> None:
        conn = await open_connection(self._database_url)
        lost = asyncio.Event()

        def end(_: object) -> None:
            self._told_until = 0.0
            lost.set()

        try:
            conn.add_termination_listener(end)
            for channel, hear in self._hear.items():
                await conn.add_listener(channel, lambda *notice, hear=hear: hear(notice[-1]))
            # What was said while nobody listened is not known.
            self._begins()
            while not lost.is_set():
                asked_at = time.monotonic()
                # A connection that is cut without a word is noticed by the answer that does not come.
                await conn.fetchval("SELECT 1", timeout=GOOD_FOR)
                if not lost.is_set():
                    self._told_until = asked_at + GOOD_FOR
                with suppress(TimeoutError):
                    await asyncio.wait_for(lost.wait(), LOOK_EVERY)
        finally:
            self._told_until = 0.0
            conn.terminate()


# It need not survive a crash, so nobody waits for the disk.
TELL_COUNTS = "SELECT set_config('synchronous_commit', 'off', true), pg_notify($1, $2)"


async def tell_counts(database: Database, process: str, counts: Mapping[str, int]) -> None:
    async with connection(database) as conn:
        await conn.execute(TELL_COUNTS, COUNTED, json.dumps([process, counts]))
