"""What waits, as Prometheus gauges: callbacks, and the wake-ups of teams."""

import logging
import time
from datetime import UTC, datetime

from prometheus_client import Gauge

from db.callbacks.queries import read_backlog
from db.core.connection import INFRASTRUCTURE_FAILURES, Database
from db.teams.wakeups import count_wakeups
from domain.wakeups import Urgency

log = logging.getLogger("groupbuy.api")

TTL = 5.0
CALLBACKS = Gauge("groupbuy_callbacks", "Callbacks that are pending or dead", ["status"])
OLDEST = Gauge("groupbuy_callbacks_oldest_pending_seconds", "Age of the oldest pending callback")
WAKEUPS = Gauge("groupbuy_wakeups", "Teams that were changed directly and not taken over by their workflows", ["urgency"])
OLDEST_WAKEUP = Gauge("groupbuy_wakeups_oldest_seconds", "Age of the oldest wake-up")


class BacklogMetrics:
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
            backlog, wakeups = await read_backlog(self._database), await count_wakeups(self._database)
        except INFRASTRUCTURE_FAILURES as error:
            log.warning("callbacks and wake-ups could not be counted: %s", type(error).__name__)
            return
        CALLBACKS.labels("pending").set(backlog.pending)
        CALLBACKS.labels("dead").set(backlog.dead)
        OLDEST.set((datetime.now(UTC) - backlog.oldest).total_seconds() if backlog.oldest else 0)
        for urgency in Urgency:
            WAKEUPS.labels(urgency.name.lower()).set(wakeups.counts.get(urgency, 0))
        OLDEST_WAKEUP.set((datetime.now(UTC) - wakeups.oldest).total_seconds() if wakeups.oldest else 0)
