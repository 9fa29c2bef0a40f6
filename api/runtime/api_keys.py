"""What API keys grant, cached, with a record of when each key was last used."""

import asyncio
import logging
import time
from datetime import UTC, datetime, timedelta

from api.runtime.cache import Cache
from api.runtime.unknown_keys import KeyFailures, UnknownKeys
from db.core.connection import INFRASTRUCTURE_FAILURES, Database
from db.settings.keys import KeyAccess, MallAccess, OpsAccess, note_uses, read_access, read_access_by_id, read_accesses
from domain.api_keys import is_well_formed
from domain.errors import ErrorCode, Refusal

log = logging.getLogger("groupbuy.api")

CHECK_INTERVAL = 1.0
RECORD_INTERVAL = timedelta(minutes=1)
GATHER = 0.05
"""seconds for which keys are gathered that come from addresses with too many failures"""


class ApiKeys:
    def __init__(self, database: Database, cache: Cache, failure_limit: int) -> None:
        self._database = database
        self._cache = cache
        self._unknown = UnknownKeys(cache)
        self._failures = KeyFailures(failure_limit)
        self._gathered: tuple[set[str], asyncio.Task[dict[str, KeyAccess]]] | None = None
        """keys for the next statement, and what they will grant"""
        self._unrecorded: dict[str, float] = {}
        self._recorded_at: dict[str, datetime] = {}

    async def access(self, key: str, address: str | None) -> KeyAccess:
        """Returns what the key grants.

        Raises:
            Refusal: unauthorized, for an unknown or revoked key; rate_limited, if too many such came from this address.
        """
        found = await self._cache.get(("key", key), lambda: self._read(key, address), _subjects)
        if found is not None:
            self._unrecorded[found.key_id] = time.time()
            return found
        if self._failures.count(address):
            raise Refusal(ErrorCode.UNAUTHORIZED, "Send a valid API key: Authorization: Bearer <key>.")
        raise Refusal(ErrorCode.RATE_LIMITED, f"Too many requests without a valid key from {address}.", retry_after=1)

    async def access_of(self, key_id: str) -> KeyAccess | None:
        """Returns what the key with this id grants, for who has shown the key itself before; None: it was revoked."""
        found = await self._cache.get(("key id", key_id), lambda: read_access_by_id(self._database, key_id), _subjects)
        if found is not None:
            self._unrecorded[key_id] = time.time()
        return found

    async def _read(self, key: str, address: str | None) -> KeyAccess | None:
        if not is_well_formed(key) or key in self._unknown:
            return None
        invalidations = self._cache.invalidations
        # Looked up all the same, because a valid key may come from there, through a proxy; but all in one statement.
        if self._failures.are_too_many(address):
            found = await self._read_gathered(key)
        else:
            found = await read_access(self._database, key)
        if found is None:
            self._unknown.add(key, invalidations)
        return found

    async def _read_gathered(self, key: str) -> KeyAccess | None:
        """Looks the key up in one statement with all that are asked for within GATHER."""
        if self._gathered is None:
            keys: set[str] = set()
            self._gathered = keys, asyncio.create_task(self._read_soon(keys))
        keys, accesses = self._gathered
        keys.add(key)
        return (await asyncio.shield(accesses)).get(key)

    async def _read_soon(self, keys: set[str]) -> dict[str, KeyAccess]:
        await asyncio.sleep(GATHER)
        self._gathered = None
        return await read_accesses(self._database, keys)

    async def run(self) -> None:
        """Records the uses of keys until cancelled, each key about once a minute, all of them in one statement."""
        while True:
            await asyncio.sleep(CHECK_INTERVAL)
            await self.record_uses()

    async def record_uses(self, interval: timedelta = RECORD_INTERVAL) -> None:
        """Writes the uses of those keys whose last record is older than the interval."""
        now = datetime.now(UTC)
        due = [
            key_id
            for key_id in self._unrecorded
            if key_id not in self._recorded_at or self._recorded_at[key_id] + interval <= now
        ]
        if not due:
            return
        uses = {key_id: datetime.fromtimestamp(self._unrecorded.pop(key_id), UTC) for key_id in due}
        self._recorded_at |= dict.fromkeys(due, now)
        try:
            await note_uses(self._database, uses)
        except INFRASTRUCTURE_FAILURES as error:
            log.warning("the last use of %d key(s) was not recorded: %s", len(uses), error)


def _subjects(access: KeyAccess | None) -> list[str]:
    match access:
        case MallAccess(key_id=key_id, source=source):
            return [f"key/{key_id}", f"mall/{source}"]
        case OpsAccess(key_id=key_id):
            return [f"key/{key_id}"]
        case None:
            return []
