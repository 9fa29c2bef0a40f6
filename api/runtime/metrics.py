"""What the database says of the installation, as Prometheus gauges: read when they are scraped, and not too often."""

import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from prometheus_client import Gauge

from db.callbacks.queries import read_backlog
from db.core.clock import clock_offset
from db.core.connection import INFRASTRUCTURE_FAILURES, Database
from db.gauges import Outbox, read_open_work, read_trade
from db.teams.wakeups import count_wakeups
from domain.lifecycle import CancelReason, OrderStatus, RefundKind, RefundStatus, TeamStatus
from domain.schemas.attention import AttentionKind
from domain.wakeups import Urgency

log = logging.getLogger("groupbuy.api")

RECENT = timedelta(days=1)
MALLS = 20
"""that have gauges of their own, those with the largest outbox; the others share one"""
OTHERS = "(others)"
FOUND_BY_RECONCILIATION = (
    AttentionKind.REFUND,
    AttentionKind.TEAM,
    AttentionKind.MALL,
    AttentionKind.INVARIANT,
    AttentionKind.WORKFLOW,
)

READ_AT = Gauge("groupbuy_read_timestamp_seconds", "When these gauges were last read from the database", ["reading"])
CALLBACKS = Gauge("groupbuy_callbacks", "Callbacks that are pending or dead", ["status"])
OLDEST = Gauge("groupbuy_callbacks_oldest_pending_seconds", "Age of the oldest pending callback")
WAKEUPS = Gauge("groupbuy_wakeups", "Teams that were changed directly and not taken over by their workflows", ["urgency"])
OLDEST_WAKEUP = Gauge("groupbuy_wakeups_oldest_seconds", "Age of the oldest wake-up")
CLOCK = Gauge("groupbuy_clock_offset_seconds", "How far PostgreSQL's clock is ahead of this process's")

REFUNDS = Gauge("groupbuy_refunds", "Refunds that are not finished", ["kind", "status"])
OLDEST_REFUND = Gauge("groupbuy_refunds_oldest_seconds", "Age of the oldest unfinished refund", ["kind", "status"])
ATTENTION = Gauge("groupbuy_attention", "What needs an operator", ["kind"])
OUTBOX = Gauge("groupbuy_outbox", "Callbacks that a mall has not received", ["mall"])
OLDEST_IN_OUTBOX = Gauge("groupbuy_outbox_oldest_seconds", "Age of the oldest callback that a mall has not received", ["mall"])
FINDINGS = Gauge("groupbuy_reconciliation_findings", "What reconciliation found missing, or could not do", ["kind"])
VIOLATIONS = Gauge("groupbuy_invariant_violations", "Teams and campaigns in which an invariant does not hold")
PASS_BEGUN = Gauge("groupbuy_reconciliation_pass_begun_seconds", "Age of the pass that reconciliation is in", ["name"])
PASS_FINISHED = Gauge("groupbuy_reconciliation_pass_finished_seconds", "Age of the last complete pass", ["name"])
FORMING = Gauge("groupbuy_teams_forming", "Teams that are forming")

TEAMS = Gauge("groupbuy_teams", "Teams that were opened in the last 24 hours", ["status"])
ORDERS = Gauge("groupbuy_orders", "Orders of the last 24 hours", ["status"])
AMOUNT = Gauge("groupbuy_orders_amount", "What the orders of the last 24 hours cost", ["status"])
CANCELLED = Gauge(
    "groupbuy_orders_cancelled", "Cancelled orders of the last 24 hours; lock_timeout: seats that lapsed", ["reason"]
)


@dataclass
class Reading:
    """Gauges that are read together, at most once in a while."""

    name: str
    every: float
    read: Callable[[datetime], Awaitable[None]]
    read_at: float = field(default=float("-inf"))


class DatabaseMetrics:
    def __init__(self, database: Database) -> None:
        """`database` ends statements that take too long, and has a connection of its own: nobody's lock waits for a count."""
        self._database = database
        self._readings = (
            Reading("backlog", 5.0, self._read_backlog),
            Reading("open_work", 15.0, self._read_open_work),
            Reading("trade", 60.0, self._read_trade),
        )
        for reading in self._readings:
            READ_AT.labels(reading.name)  # 0 until it was read: what was never read is stale, too

    async def refresh(self) -> None:
        """Reads what is due. Gauges that cannot be read keep their values, and `groupbuy_read_timestamp_seconds` its own."""
        for reading in self._readings:
            now = time.monotonic()
            if now - reading.read_at < reading.every:
                continue
            reading.read_at = now
            try:
                await reading.read(datetime.now(UTC))
            except INFRASTRUCTURE_FAILURES as error:
                log.warning("the metrics of %s could not be read: %s", reading.name, type(error).__name__)
            else:
                READ_AT.labels(reading.name).set_to_current_time()

    async def _read_backlog(self, now: datetime) -> None:
        backlog, wakeups = await read_backlog(self._database), await count_wakeups(self._database)
        CLOCK.set((await clock_offset(self._database)).total_seconds())
        CALLBACKS.labels("pending").set(backlog.pending)
        CALLBACKS.labels("dead").set(backlog.dead)
        OLDEST.set(_age(now, backlog.oldest))
        for urgency in Urgency:
            WAKEUPS.labels(urgency.name.lower()).set(wakeups.counts.get(urgency, 0))
        OLDEST_WAKEUP.set(_age(now, wakeups.oldest))

    async def _read_open_work(self, now: datetime) -> None:
        work = await read_open_work(self._database)
        found = {(refunds.kind, refunds.status): refunds for refunds in work.refunds}
        for kind in RefundKind:
            for status in (RefundStatus.REQUESTED, RefundStatus.AWAITING_MALL, RefundStatus.ATTENTION):
                refunds = found.get((kind, status))
                REFUNDS.labels(kind, status).set(refunds.refunds if refunds else 0)
                OLDEST_REFUND.labels(kind, status).set(_age(now, refunds.oldest) if refunds else 0)
        _set_all(ATTENTION, AttentionKind, work.attention)
        _set_all(FINDINGS, FOUND_BY_RECONCILIATION, work.findings)
        VIOLATIONS.set(work.findings.get(AttentionKind.INVARIANT, 0))
        FORMING.set(work.teams_forming)
        for each in work.passes:
            PASS_BEGUN.labels(each.name).set(_age(now, each.begun_at))
            if each.last_finished_at is not None:
                PASS_FINISHED.labels(each.name).set(_age(now, each.last_finished_at))
        OUTBOX.clear()  # of malls that have received everything
        OLDEST_IN_OUTBOX.clear()
        for outbox in bounded(list(work.outboxes)):
            OUTBOX.labels(outbox.source).set(outbox.callbacks)
            OLDEST_IN_OUTBOX.labels(outbox.source).set(_age(now, outbox.oldest))

    async def _read_trade(self, now: datetime) -> None:
        trade = await read_trade(self._database, now - RECENT)
        _set_all(TEAMS, TeamStatus, trade.teams)
        _set_all(ORDERS, OrderStatus, trade.orders)
        _set_all(AMOUNT, OrderStatus, {status: float(amount) for status, amount in trade.amounts.items()})
        _set_all(CANCELLED, CancelReason, trade.cancelled)


def bounded(outboxes: list[Outbox]) -> list[Outbox]:
    """Returns the largest ones, and the others as one, so that a thousand malls do not make a thousand time series."""
    outboxes.sort(key=lambda outbox: outbox.callbacks, reverse=True)
    largest, others = outboxes[:MALLS], outboxes[MALLS:]
    if others:
        callbacks = sum(outbox.callbacks for outbox in others)
        largest.append(Outbox(OTHERS, callbacks, min(outbox.oldest for outbox in others)))
    return largest


def _set_all(gauge: Gauge, labels: Iterable[str], values: Mapping[str, float]) -> None:
    """Sets the gauge of every label, to 0 where there is nothing."""
    for label in labels:
        gauge.labels(label).set(values.get(label, 0))


def _age(now: datetime, moment: datetime | None) -> float:
    return (now - moment).total_seconds() if moment else 0.0
