"""The delivery of events to malls: each activity attempts what is due, until every delivery is delivered or dead."""

import asyncio
import logging
import random
import time
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from opentelemetry import trace
from opentelemetry.trace import SpanKind, StatusCode
from temporalio import activity
from temporalio.exceptions import ApplicationError

import db.callbacks.deliveries
import db.callbacks.redelivery
import db.reconciliation.findings
import db.reconciliation.overdue
from activities import interfaces
from activities.callbacks.per_mall_limit import PerMallLimit
from activities.callbacks.retries import RetrySchedule
from activities.callbacks.senders.base import Sender, SendResult
from activities.errors import database_errors
from activities.isolation import for_each
from db.callbacks.deliveries import Attempt, Delivery, DeliveryStatus
from db.core.connection import Database
from domain.messages.base import WorkflowFailure
from domain.messages.callbacks import Deliver, Delivered, ReviveCallbacks, RevivedCallbacks, Sample, SampleReply
from domain.messages.reconciliation import Reconcile, Reconciled
from domain.schemas.attention import AttentionKind
from domain.types import rfc3339

log = logging.getLogger("groupbuy.callbacks")
tracer = trace.get_tracer("groupbuy")

CONCURRENT_ATTEMPTS = 5
"""attempts to one mall that one activity makes side by side"""
CONCURRENT_IN_TASKS = 10
"""deliveries within workflow tasks that a process makes side by side: the tasks' other slots are for locks and payments"""
START_WITHIN = 10.0
"""seconds in which an activity starts attempts, so that the last one ends within the activity's timeout"""
MAX_BUSY_DELAY = 60.0
"""seconds after which an activity that found no slot is retried at the latest"""
CONCURRENT_STATEMENTS = 6
"""connections of this process that callbacks use: the others are left to locks and payments"""
OVERDUE_EVENTS, OVERDUE_MALLS = 500, 100
"""events of one run of reconciliation, and malls at once"""
OVERDUE_WITHIN = 60.0
"""seconds for a mall's overdue events: longer than its last attempt may take"""
SAMPLE_BODY = 1000
"""characters of a mall's answer that a sample shows"""

ResultT = TypeVar("ResultT")
Slot = Callable[[str], AbstractAsyncContextManager[bool]]
"""Enters a slot of a mall; yields whether one was free."""
AttemptCounter = Callable[[str, str], None]
"""Counts an attempt, by the kind of its address and its outcome."""


class CallbackActivities(interfaces.CallbackActivities):
    def __init__(
        self,
        database: Database,
        senders: Mapping[str, Sender],
        retries: RetrySchedule,
        *,
        per_mall_limit: PerMallLimit | None = None,
        count: AttemptCounter = lambda _kind, _outcome: None,
    ) -> None:
        self._database = database
        self._senders = senders
        self._retries = retries
        self.per_mall_limit = per_mall_limit or PerMallLimit()
        self._count = count
        self._in_tasks = asyncio.Semaphore(CONCURRENT_IN_TASKS)
        self._statements = asyncio.Semaphore(CONCURRENT_STATEMENTS)

    @activity.defn
    async def deliver(self, request: Deliver) -> Delivered:
        """Attempts what is due of some events, and asks to be retried until each delivery is delivered or dead.

        Raises:
            ApplicationError: of type CallbacksPending, with the delay after which the next delivery is due.
        """
        with database_errors():
            due = await self.due_deliveries(request.event_ids)
            attempted = await self.attempt_all(due, self.per_mall_limit.slot)
            progress = await self.execute(db.callbacks.deliveries.delivery_progress(self._database, request.event_ids))
        if progress.due is not None:
            delay = max((progress.due - datetime.now(UTC)).total_seconds(), 0.05)
            if len(attempted) < len(due):
                delay = max(delay, _busy_delay(activity.info().attempt))
            raise ApplicationError(
                f"{progress.pending} callback(s) wait for another attempt at {rfc3339(progress.due)}.",
                type=WorkflowFailure.CALLBACKS_PENDING,
                next_retry_delay=timedelta(seconds=delay),
            )
        return Delivered(delivered=progress.delivered, dead=progress.dead)

    @activity.defn
    async def deliver_at_once(self, request: Deliver) -> bool:
        """Attempts some events once, unless many others are attempted so; returns whether all are delivered."""
        if self._in_tasks.locked():
            return False
        async with self._in_tasks:
            with database_errors():
                due = await self.due_deliveries(request.event_ids)
                attempted = await self.attempt_all(due, self.per_mall_limit.slot)
        return len(attempted) == len(due) and all(status == "delivered" for status in attempted)

    @activity.defn
    async def deliver_overdue(self, request: Reconcile) -> Reconciled:
        """Attempts events that no workflow delivers, once, each mall's by themselves."""
        with database_errors():
            overdue = await self.execute(db.reconciliation.overdue.overdue_events(self._database, request.now, OVERDUE_EVENTS))

        async def deliver(source: str) -> None:
            await self.attempt_all(await self.due_deliveries(overdue[source]), self.per_mall_limit.slot)

        malls = await for_each(overdue, deliver, at_once=OVERDUE_MALLS, within=OVERDUE_WITHIN)
        with database_errors():
            await self.execute(
                db.reconciliation.findings.record_findings(
                    self._database, AttentionKind.MALL, malls.failed, malls.done, request.now
                )
            )
        return Reconciled(count=sum(map(len, overdue.values())), failed=len(malls.failed))

    @activity.defn
    async def revive_callbacks(self, request: ReviveCallbacks) -> RevivedCallbacks:
        """Makes the dead callbacks of a team due again; those of its refunds are left to the refunds' workflows."""
        with database_errors():
            revive = db.callbacks.redelivery.redeliver_team(self._database, request.team_id, request.act, request.now)
            return await self.execute(revive)

    @activity.defn
    async def send_sample(self, sample: Sample) -> SampleReply:
        """Sends a sample once, and returns the mall's answer."""
        with database_errors():
            delivery = await self.execute(db.callbacks.deliveries.sample_delivery(self._database, sample))
        started = time.monotonic()
        async with self.per_mall_limit.slot(delivery.source) as has_slot:
            busy = SendResult(None, "too many callbacks to this mall are in progress; try again later")
            result = await self._send(delivery, sample.now) if has_slot else busy
        return SampleReply(
            event_id=sample.event_id,
            delivered=result.error is None,
            http_status=result.http_status,
            error=result.error,
            duration_ms=round((time.monotonic() - started) * 1000),
            body=result.body[:SAMPLE_BODY],
        )

    async def due_deliveries(self, event_ids: list[str]) -> list[Delivery]:
        pending = await self.execute(db.callbacks.deliveries.pending_deliveries(self._database, event_ids))
        now = datetime.now(UTC)
        # A first attempt is always due: its `next_attempt_at` comes from Temporal's clock, which may be ahead of this one.
        return [delivery for delivery in pending if not delivery.attempts or delivery.next_attempt_at <= now]

    async def attempt_all(self, due: list[Delivery], slot: Slot, at_once: int = CONCURRENT_ATTEMPTS) -> list[DeliveryStatus]:
        """Attempts these deliveries, the malls independently of each other; leaves out those that find no slot in time.

        Args:
            due: the deliveries.
            slot: enters a slot of a mall.
            at_once: attempts to one mall that are made side by side.
        """
        queues: defaultdict[str, deque[Delivery]] = defaultdict(deque)
        for delivery in due:
            queues[delivery.source].append(delivery)
        start_until = time.monotonic() + START_WITHIN
        attempted: list[DeliveryStatus] = []
        consumers = [
            self._consume(queue, slot, start_until, attempted)
            for queue in queues.values()
            for _ in range(min(at_once, len(queue)))
        ]
        for failure in await asyncio.gather(*consumers, return_exceptions=True):
            if failure is not None:
                raise failure
        return attempted

    async def _consume(self, queue: deque[Delivery], slot: Slot, start_until: float, attempted: list[DeliveryStatus]) -> None:
        """Attempts the deliveries of one mall's queue, one after the other."""
        while queue and time.monotonic() < start_until:
            async with slot(queue[0].source) as has_slot:
                if not has_slot or not queue:
                    return
                attempted.append(await self._attempt(queue.popleft()))

    async def _attempt(self, delivery: Delivery) -> DeliveryStatus:
        started_at = datetime.now(UTC)
        result = await self._send(delivery, started_at)
        finished_at = datetime.now(UTC)
        next_attempt_at = self._retries.next_attempt(delivery, finished_at, result.retry_after)
        is_dead = result.is_final or next_attempt_at is None
        attempt = Attempt(
            started_at=started_at,
            duration_ms=round((finished_at - started_at).total_seconds() * 1000),
            http_status=result.http_status,
            error=result.error,
            status="delivered" if result.error is None else "dead" if is_dead else "pending",
            next_attempt_at=next_attempt_at or finished_at,
            answer=result.answer,
            note=result.note,
        )
        await self.execute(db.callbacks.deliveries.record_attempt(self._database, delivery, attempt))
        self._count(delivery.kind, {"pending": "failed"}.get(attempt.status, attempt.status))
        return attempt.status

    async def _send(self, delivery: Delivery, now: datetime) -> SendResult:
        try:
            result = await self._send_traced(delivery, now)
        except Exception as exc:
            # Raised, it would leave the attempt unrecorded: repeated for ever, and visible to nobody.
            log.exception("a defect: %s could not be sent", delivery.event_id)
            return SendResult(None, f"a defect of the platform: {type(exc).__name__}")
        return replace(result, error=result.error and _storable(result.error), note=_storable(result.note))

    async def _send_traced(self, delivery: Delivery, now: datetime) -> SendResult:
        attributes = {"groupbuy.mall": delivery.source, "groupbuy.event_id": delivery.event_id}
        # The message of an exception may hold an address.
        with tracer.start_as_current_span(
            f"send {delivery.type}",
            kind=SpanKind.PRODUCER,
            attributes=attributes,
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            result = await self._senders[delivery.kind].send(delivery, now)
            if result.http_status is not None:
                span.set_attribute("http.response.status_code", result.http_status)
            if result.error is not None:
                span.set_status(StatusCode.ERROR)
        return result

    async def execute(self, statement: Awaitable[ResultT]) -> ResultT:
        """Runs a statement of the database within their limit."""
        async with self._statements:
            return await statement


def _storable(text: str) -> str:
    """Returns a mall's text without NUL, the one character that PostgreSQL cannot store."""
    return text.replace("\0", "")


def _busy_delay(attempt: int) -> float:
    """Returns the seconds until an activity that found no slot is retried: they double with each attempt."""
    return min(2.0 ** (attempt - 1), MAX_BUSY_DELAY) * random.uniform(0.5, 1.5)  # noqa: S311 - it spreads load, it keeps no secret
