"""Callbacks: telling malls what happened, again and again until each has taken it or is given up."""

import asyncio
import logging
import random
import time
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from temporalio import activity
from temporalio.exceptions import ApplicationError

import db.callbacks.deliveries
import db.callbacks.redelivery
from activities.callbacks.per_mall_limit import PerMallLimit
from activities.callbacks.senders.base import Reply, Sender
from activities.errors import database_errors
from db.callbacks.deliveries import Attempt, Delivery, Verdict
from db.core.connection import Database
from domain.messages.base import WorkflowFailure
from domain.messages.callbacks import Deliver, Delivered, ReviveCallbacks, RevivedCallbacks, Sample, SampleReply
from domain.types import rfc3339

log = logging.getLogger("groupbuy.callbacks")

AT_ONCE = 5
"""attempts to one mall that one activity makes side by side"""
BEGIN_WITHIN = 10.0
"""seconds in which an activity begins attempts: the last of them is over before the activity's own time is"""
LONGEST_TURN_AWAY = 60.0
STATEMENTS_AT_ONCE = 6
"""of the database's connections of this process: those that are left are for locks and settlements"""
SAMPLE_BODY = 1000

Answer = TypeVar("Answer")
Count = Callable[[str, str], None]
"""Takes note of an attempt: over which kind, and what came of it."""


@dataclass(frozen=True, slots=True)
class RetryPlan:
    """How often and how long a callback is tried: the delay doubles from `first` to `most`, ±20 %, until `give_up`."""

    first: timedelta
    most: timedelta
    give_up: timedelta

    def next_attempt(self, delivery: Delivery, now: datetime, retry_after: timedelta | None) -> datetime | None:
        """When to try again after the attempt at `now` failed; None when the callback is to be given up."""
        doubled = self.first * 2 ** min(delivery.attempts, 40)
        following: datetime = now + min(doubled, self.most) * random.uniform(0.8, 1.2)  # noqa: S311 - it spreads load, it keeps no secret
        end = delivery.since + self.give_up
        if following > end:
            return None
        # A mall that wants to be left alone for longer than that still gets its last try.
        return min(max(following, now + (retry_after or timedelta())), end)


class CallbackActivities:
    def __init__(
        self,
        database: Database,
        senders: Mapping[str, Sender],
        retries: RetryPlan,
        *,
        turns: PerMallLimit | None = None,
        count: Count = lambda _kind, _outcome: None,
    ) -> None:
        self._database = database
        self._senders = senders
        self._retries = retries
        self._turns = turns or PerMallLimit()
        self._count = count
        self._statements = asyncio.Semaphore(STATEMENTS_AT_ONCE)

    @activity.defn
    async def deliver(self, deliver: Deliver) -> Delivered:
        """Tries what is due of these events, and asks to be called again until each is delivered or dead.

        Raises:
            ApplicationError: of type CallbacksPending, with the delay after which the next one is due.
        """
        with database_errors():
            pending = await self._asked(db.callbacks.deliveries.pending_deliveries(self._database, deliver.event_ids))
            now = datetime.now(UTC)
            # The first attempt is due whatever the clocks say: `next_attempt_at` is then the workflow's time, not this host's.
            due = [delivery for delivery in pending if not delivery.attempts or delivery.next_attempt_at <= now]
            tried = await self._try(due)
            progress = await self._asked(db.callbacks.deliveries.delivery_progress(self._database, deliver.event_ids))
        if progress.due is not None:
            wait = max((progress.due - datetime.now(UTC)).total_seconds(), 0.05)
            if len(tried) < len(due):
                wait = max(wait, _turned_away(activity.info().attempt))
            raise ApplicationError(
                f"{progress.pending} callback(s) wait for another try at {rfc3339(progress.due)}.",
                type=WorkflowFailure.CALLBACKS_PENDING,
                next_retry_delay=timedelta(seconds=wait),
            )
        return Delivered(delivered=progress.delivered, dead=progress.dead)

    @activity.defn
    async def revive_callbacks(self, revive: ReviveCallbacks) -> RevivedCallbacks:
        """Makes what was given up of a team's events due again. A refund's own are its workflow's."""
        with database_errors():
            revived = await self._asked(db.callbacks.redelivery.revive_team(self._database, revive.team_id, revive.now))
        return RevivedCallbacks(event_ids=revived)

    @activity.defn
    async def send_sample(self, sample: Sample) -> SampleReply:
        """Sends what is no event, once, and says what the mall replied."""
        with database_errors():
            delivery = await self._asked(db.callbacks.deliveries.sample_delivery(self._database, sample))
        began = time.monotonic()
        async with self._turns.turn(delivery.source) as has_turn:
            busy = Reply(None, "too many callbacks to this mall are under way; try again later")
            reply = await self._send(delivery, sample.now) if has_turn else busy
        return SampleReply(
            event_id=sample.event_id,
            delivered=reply.error is None,
            http_status=reply.status,
            error=reply.error,
            duration_ms=round((time.monotonic() - began) * 1000),
            body=reply.body[:SAMPLE_BODY],
        )

    async def try_once(self, source: str, event_ids: list[str]) -> bool:
        """Tries what is pending of these new events of a mall; returns whether all of it is delivered now."""
        # Each needs its sequence first, else it is read twice.
        await self._asked(db.callbacks.deliveries.assign_sequences(self._database, source))
        pending = await self._asked(db.callbacks.deliveries.pending_deliveries(self._database, event_ids))
        tried = await self._try(pending)
        return len(tried) == len(pending) and all(verdict == "delivered" for verdict in tried)

    async def _try(self, due: list[Delivery]) -> list[Verdict]:
        """Attempts these, every mall's apart from the others'; those that got no turn in time are left out."""
        left: defaultdict[str, deque[Delivery]] = defaultdict(deque)
        for delivery in due:
            left[delivery.source].append(delivery)
        until = time.monotonic() + BEGIN_WITHIN
        tried: list[Verdict] = []
        lanes = [self._lane(each, until, tried) for each in left.values() for _ in range(min(AT_ONCE, len(each)))]
        ends = await asyncio.gather(*lanes, return_exceptions=True)
        for failure in ends:
            if failure is not None:
                raise failure
        return tried

    async def _lane(self, left: deque[Delivery], until: float, tried: list[Verdict]) -> None:
        while left and time.monotonic() < until:
            async with self._turns.turn(left[0].source) as has_turn:
                if not has_turn or not left:
                    return
                tried.append(await self._attempt(left.popleft()))

    async def _attempt(self, delivery: Delivery) -> Verdict:
        started_at = datetime.now(UTC)
        reply = await self._send(delivery, started_at)
        finished_at = datetime.now(UTC)
        following = self._retries.next_attempt(delivery, finished_at, reply.retry_after)
        gives_up = reply.is_final or following is None
        attempt = Attempt(
            started_at=started_at,
            duration_ms=round((finished_at - started_at).total_seconds() * 1000),
            http_status=reply.status,
            error=reply.error,
            verdict="delivered" if reply.error is None else "dead" if gives_up else "pending",
            next_attempt_at=following or finished_at,
            answer=reply.answer,
            note=reply.note,
        )
        await self._asked(db.callbacks.deliveries.record_attempt(self._database, delivery, attempt))
        self._count(delivery.kind, {"pending": "failed"}.get(attempt.verdict, attempt.verdict))
        return attempt.verdict

    async def _send(self, delivery: Delivery, now: datetime) -> Reply:
        try:
            reply = await self._senders[delivery.kind].send(delivery, now)
        except Exception as defect:
            # An attempt that is not recorded would be made for ever, and seen by nobody.
            log.exception("a defect: %s could not be sent", delivery.event_id)
            return Reply(None, f"a defect of the platform: {type(defect).__name__}")
        return replace(reply, error=reply.error and _storable(reply.error), note=_storable(reply.note))

    async def _asked(self, statement: Awaitable[Answer]) -> Answer:
        async with self._statements:
            return await statement


def _storable(text: str) -> str:
    """What a mall wrote, without the one character that PostgreSQL's texts cannot hold."""
    return text.replace("\0", "")


def _turned_away(attempt: int) -> float:
    """Seconds until an activity whose mall had no turn left asks again: the longer it lasts, the seldomer."""
    return min(2.0 ** (attempt - 1), LONGEST_TURN_AWAY) * random.uniform(0.5, 1.5)  # noqa: S311 - it spreads load, it keeps no secret
