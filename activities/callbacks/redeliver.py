"""Mass redelivery: sends the events of a range again, beside fresh callbacks and slower than these."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, Protocol

from temporalio import activity

import db.callbacks.mass_redelivery as rows
from activities import interfaces
from activities.callbacks.deliver import CallbackActivities
from activities.callbacks.per_mall_limit import CONCURRENT_ATTEMPTS, PerMallLimit
from activities.errors import database_errors
from db.core.connection import Database
from db.refunds.queries import refunds_in_progress
from domain.messages.callbacks import RedeliverNext, RedeliveryState
from domain.messages.refunds import RefundInput

CONCURRENT_PER_MALL = CONCURRENT_ATTEMPTS // 2
"""slots of a mall that redeliveries use at most: the others are left to fresh callbacks"""
ATTEMPTS_PER_SECOND = 200
"""of all redeliveries of this process, so that locks and fresh callbacks find a CPU"""
REFUND_COST = 20
"""attempts that a refund counts for: its workflow takes several steps, and delivers by itself"""
SLICES = 50
"""slices that are looked at in a row, where they have nothing to send"""


class ResumesRefund(Protocol):
    """Signals `resend` to a refund's workflow."""

    async def __call__(self, refund: RefundInput, signal: str, payload: dict[str, Any]) -> None: ...


class Pace:
    """Lets through at most so many a second, evenly."""

    def __init__(self, per_second: float) -> None:
        self._interval = 1 / per_second
        self._next = 0.0

    async def wait(self, cost: int = 1) -> None:
        now = time.monotonic()
        turn = max(self._next, now)
        self._next = turn + cost * self._interval
        await asyncio.sleep(turn - now)


class RedeliveryActivities(interfaces.RedeliveryActivities):
    def __init__(
        self,
        database: Database,
        callbacks: CallbackActivities,
        resume: ResumesRefund,
        *,
        attempts_per_second: float = ATTEMPTS_PER_SECOND,
    ) -> None:
        self._database = database
        self._callbacks = callbacks
        self._resume = resume
        self._share = PerMallLimit(CONCURRENT_PER_MALL)
        self._pace = Pace(attempts_per_second)

    @activity.defn
    async def redeliver_next(self, request: RedeliverNext) -> RedeliveryState:
        """Makes the next events of a redelivery due, and attempts once what is due of it."""
        redelivery, execute = request.redelivery_id, self._callbacks.execute
        with database_errors():
            event_ids = await execute(rows.due_events(self._database, redelivery, datetime.now(UTC), again=request.again))
            has_advanced = False
            # Where so many are due, the mall is slower than they come: it gets no more of them.
            if len(event_ids) < rows.SLICE:
                more, has_advanced = await self._revive(redelivery)
                event_ids += more
            due = await self._callbacks.due_deliveries(event_ids)
            attempted = await self._callbacks.attempt_all(due, self._slot, CONCURRENT_PER_MALL)
            state = await execute(rows.redelivery_state(self._database, redelivery, datetime.now(UTC)))
        return state.model_copy(update={"advanced": has_advanced or "delivered" in attempted})

    async def _revive(self, redelivery: int) -> tuple[list[str], bool]:
        """Makes the next events due; returns them, and whether the mall takes enough for the next ones to follow at once."""
        execute, has_advanced = self._callbacks.execute, False
        for _ in range(SLICES):
            slice_ = await execute(rows.next_slice(self._database, redelivery, datetime.now(UTC)))
            if slice_ is None:
                break
            # Before the cursor moves: after a crash in between they are told twice, and not forgotten.
            for order_id in slice_.events.refunds:
                await self._pace.wait(REFUND_COST)
                activity.heartbeat()
                for refund in await execute(refunds_in_progress(self._database, order_id)) or ():
                    await self._resume(refund, "resend", {"operator": f"redelivery {redelivery}"})
            activity.heartbeat()
            has_advanced = await execute(rows.revive_slice(self._database, redelivery, slice_, datetime.now(UTC)))
            if slice_.events.event_ids or slice_.is_last or not has_advanced:
                return slice_.events.event_ids, has_advanced and not slice_.is_probe
        return [], has_advanced

    @asynccontextmanager
    async def _slot(self, source: str) -> AsyncIterator[bool]:
        async with self._share.slot(source) as has_share:
            if not has_share:
                yield False
                return
            await self._pace.wait()
            async with self._callbacks.per_mall_limit.slot(source) as has_slot:
                yield has_slot
