"""Owners of API keys, cached, with a record of when each key was last used."""

import asyncio
import logging
import secrets
import time
from datetime import UTC, datetime, timedelta

from api.runtime.cache import Cache
from db.core.connection import INFRASTRUCTURE_FAILURES, Database
from db.settings.keys import MallAccess, OpsAccess, note_uses, read_access

log = logging.getLogger("groupbuy.api")

KeyOwner = MallAccess | OpsAccess

CHECK_INTERVAL = 1.0
RECORD_INTERVAL = timedelta(minutes=1)


def new_key(source: str | None) -> str:
    """Returns a random key for a mall or, where source is None, for operations; its prefix says which."""
    return f"gb_{'ops' if source is None else 'mall'}_{secrets.token_urlsafe(24)}"


class ApiKeys:
    def __init__(self, database: Database, cache: Cache) -> None:
        self._database = database
        self._cache = cache
        self._unrecorded: dict[str, float] = {}
        self._recorded_at: dict[str, datetime] = {}

    async def owner(self, key: str) -> KeyOwner | None:
        """Returns None for an unknown or revoked key."""
        found = await self._cache.get(("key", key), lambda: read_access(self._database, key), _subjects)
        if found is not None:
            self._unrecorded[found.key_id] = time.time()
        return found

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


def _subjects(owner: KeyOwner | None) -> list[str]:
    match owner:
        case MallAccess(key_id=key_id, source=source):
            return [f"key/{key_id}", f"mall/{source}"]
        case OpsAccess(key_id=key_id):
            return [f"key/{key_id}"]
        case None:
            return []
