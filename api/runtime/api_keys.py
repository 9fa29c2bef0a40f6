"""Who holds a key: remembered while this process hears of changes, with a note of when each was last used."""

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

LOOK_EVERY = 1.0
NOTED_EVERY = timedelta(minutes=1)


def new_key(source: str | None) -> str:
    """Random and long; what it is for can be seen from it."""
    return f"gb_{'ops' if source is None else 'mall'}_{secrets.token_urlsafe(24)}"


class ApiKeys:
    def __init__(self, database: Database, remembered: Cache) -> None:
        self._database = database
        self._remembered = remembered
        self._used: dict[str, float] = {}
        self._noted: dict[str, datetime] = {}

    async def access(self, key: str) -> KeyOwner | None:
        """Who holds this key; None for one that is unknown or revoked."""
        found = await self._remembered.recall(("key", key), lambda: read_access(self._database, key), _subjects)
        if found is not None:
            self._used[found.key_id] = time.time()
        return found

    async def run(self) -> None:
        """Notes what was used, each key about once a minute and all in one statement, until it is cancelled."""
        while True:
            await asyncio.sleep(LOOK_EVERY)
            await self.note()

    async def note(self, every: timedelta = NOTED_EVERY) -> None:
        """Writes down the uses of the keys whose last note is older than that."""
        now = datetime.now(UTC)
        due = [key_id for key_id in self._used if key_id not in self._noted or self._noted[key_id] + every <= now]
        if not due:
            return
        uses = {key_id: datetime.fromtimestamp(self._used.pop(key_id), UTC) for key_id in due}
        self._noted |= dict.fromkeys(due, now)
        try:
            await note_uses(self._database, uses)
        except INFRASTRUCTURE_FAILURES as failure:
            log.warning("the last use of %d key(s) was not noted: %s", len(uses), failure)


def _subjects(found: KeyOwner | None) -> list[str]:
    match found:
        case MallAccess(key_id=key_id, source=source):
            return [f"key/{key_id}", f"mall/{source}"]
        case OpsAccess(key_id=key_id):
            return [f"key/{key_id}"]
        case None:
            return []
