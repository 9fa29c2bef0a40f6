"""The callback backlog as Prometheus gauges."""

import logging
import time
from datetime import UTC, datetime

from prometheus_client import Gauge

from db.callbacks.queries import read_backlog
from db.core.connection import INFRASTRUCTURE_FAILURES, Database

log = logging.getLogger("groupbuy.api")

TTL = 5.0
CALLBACKS = Gauge("groupbuy_callbacks", "Callbacks that are pending or dead", ["status"])
OLDEST = Gauge("groupbuy_callbacks_oldest_pending_seconds", "Age of the oldest pending callback")


class CallbackBacklogMetrics:
    def __init__(self, database: Database) -> None:
        self._database = database
        self._read_at = float("-inf")

    async def refresh(self) -> None:
        """Reads the backlog again when it is older than a few seconds; without the database the gauges keep their values."""
        now = time.monotonic()
        if now - self._read_at < TTL:
            return
        self._read_at = now
        try:
            backlog = await read_backlog(self._database)
        except INFRASTRUCTURE_FAILURES as error:
            log.warning("callbacks could not be counted: %s", type(error).__name__)
            return
        CALLBACKS.labels("pending").set(backlog.pending)
        CALLBACKS.labels("dead").set(backlog.dead)
        OLDEST.set((datetime.now(UTC) - backlog.oldest).total_seconds() if backlog.oldest else 0)
