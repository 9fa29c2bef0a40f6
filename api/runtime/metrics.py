"""How many callbacks are on their way or given up, for monitoring."""

import logging
import time
from datetime import UTC, datetime

from prometheus_client import Gauge

from db.callbacks.queries import read_backlog
from db.core.connection import INFRASTRUCTURE_FAILURES, Database

log = logging.getLogger("groupbuy.api")

GOOD_FOR = 5.0
CALLBACKS = Gauge("groupbuy_callbacks", "Callbacks that are on their way, or were given up", ["status"])
OLDEST = Gauge("groupbuy_callbacks_oldest_pending_seconds", "How long the oldest callback under way has been")


class CallbackBacklogMetrics:
    def __init__(self, database: Database) -> None:
        self._database = database
        self._read_at = float("-inf")

    async def refresh(self) -> None:
        """Reads again what is older than a few seconds. Without the database they stay what they were."""
        now = time.monotonic()
        if now - self._read_at < GOOD_FOR:
            return
        self._read_at = now
        try:
            backlog = await read_backlog(self._database)
        except INFRASTRUCTURE_FAILURES as failure:
            log.warning("callbacks could not be counted: %s", type(failure).__name__)
            return
        CALLBACKS.labels("pending").set(backlog.pending)
        CALLBACKS.labels("dead").set(backlog.dead)
        OLDEST.set((datetime.now(UTC) - backlog.oldest).total_seconds() if backlog.oldest else 0)
