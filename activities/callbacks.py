"""Callbacks: telling malls what happened, as Standard Webhooks 1.0."""

import asyncio
import json
import random
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, Literal

import aiohttp
from pydantic import BaseModel, ValidationError
from standardwebhooks import Webhook
from temporalio import activity
from temporalio.exceptions import ApplicationError

import db.callbacks
from activities.failures import database_failures
from db.callbacks import Attempt, Delivery, Verdict
from db.connection import Database
from domain.events import EventType
from domain.messages import Deliver, Delivered, MallAnswer, WorkflowFailure
from domain.values import rfc3339

GONE, CONFLICT = 410, 409
READ_AT_MOST = 4096
NOTE = 500


@dataclass(frozen=True, slots=True)
class RetryPlan:
    """How often and how long a callback is tried: the delay doubles from `first` to `most`, ±20 %, until `give_up`."""

    first: timedelta
    most: timedelta
    give_up: timedelta

    def next_attempt(self, delivery: Delivery, now: datetime, retry_after: timedelta | None) -> datetime | None:
        """When to try again after the attempt at `now` failed; None when the callback is to be given up."""
        doubled = self.first * 2 ** min(delivery.attempts, 40)
        delay = min(doubled, self.most) * random.uniform(0.8, 1.2)  # noqa: S311 - it spreads load, it keeps no secret
        following = now + max(delay, min(retry_after or timedelta(), self.most))
        return following if following <= delivery.since + self.give_up else None


@dataclass(frozen=True, slots=True)
class Reply:
    status: int | None
    error: str | None
    retry_after: timedelta | None = None
    answer: MallAnswer | None = None
    note: str = ""


class CallbackActivities:
    def __init__(self, database: Database, http: aiohttp.ClientSession, retries: RetryPlan) -> None:
        self._database = database
        self._http = http
        self._retries = retries

    @activity.defn
    async def deliver(self, deliver: Deliver) -> Delivered:
        """Tries what is due of these events, and asks to be called again until each is delivered or dead.

        Raises:
            ApplicationError: of type CallbacksPending, with the delay after which the next one is due.
        """
        with database_failures():
            pending = await db.callbacks.pending_deliveries(self._database, deliver.event_ids)
            now = datetime.now(UTC)
            # The first attempt is due whatever the clocks say: `next_attempt_at` is then the workflow's time, not this host's.
            due_now = [delivery for delivery in pending if not delivery.attempts or delivery.next_attempt_at <= now]
            await asyncio.gather(*(self._attempt(delivery) for delivery in due_now))
            progress = await db.callbacks.delivery_progress(self._database, deliver.event_ids)
        if progress.due is not None:
            raise ApplicationError(
                f"{progress.pending} callback(s) wait for another try at {rfc3339(progress.due)}.",
                type=WorkflowFailure.CALLBACKS_PENDING,
                next_retry_delay=max(progress.due - datetime.now(UTC), timedelta(milliseconds=50)),
            )
        return Delivered(delivered=progress.delivered, dead=progress.dead)

    async def try_once(self, event_ids: list[str]) -> bool:
        """Tries what is pending of these events; returns whether all of it is delivered now."""
        pending = await db.callbacks.pending_deliveries(self._database, event_ids)
        verdicts = await asyncio.gather(*(self._attempt(delivery) for delivery in pending))
        return all(verdict == "delivered" for verdict in verdicts)

    async def _attempt(self, delivery: Delivery) -> Verdict:
        started_at = datetime.now(UTC)
        reply = await self._send(delivery, started_at)
        finished_at = datetime.now(UTC)
        following = self._retries.next_attempt(delivery, finished_at, reply.retry_after)
        gone = reply.status == GONE or delivery.kind != "http"
        attempt = Attempt(
            started_at=started_at,
            duration_ms=round((finished_at - started_at).total_seconds() * 1000),
            http_status=reply.status,
            error=reply.error,
            verdict="delivered" if reply.error is None else "dead" if gone or following is None else "pending",
            next_attempt_at=following or finished_at,
            answer=reply.answer,
            note=reply.note,
        )
        await db.callbacks.record_attempt(self._database, delivery, attempt)
        return attempt.verdict

    async def _send(self, delivery: Delivery, now: datetime) -> Reply:
        if delivery.kind != "http":
            return Reply(None, f"no broker is configured for {delivery.kind} callbacks")
        body = envelope(delivery)
        headers = {"Content-Type": "application/json", "User-Agent": "groupbuy"} | signature(delivery, body, now)
        try:
            async with self._http.post(delivery.address, data=body, headers=headers, allow_redirects=False) as response:
                answered = await response.content.read(READ_AT_MOST)
                status = response.status
                retry_after = _retry_after(response.headers.get("Retry-After"), now)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as failure:
            return Reply(None, f"{type(failure).__name__}: {failure}"[:500])
        is_question = delivery.type == EventType.ORDER_REFUND_REQUESTED
        if 200 <= status < 300:
            return Reply(status, None, answer=MallAnswer.AGREED if is_question else None)
        if is_question and status == CONFLICT and (veto := _veto(answered)):
            return Reply(status, None, answer=MallAnswer.VETOED, note=veto.detail[:NOTE])
        return Reply(status, f"answered {status}", retry_after)


def envelope(delivery: Delivery) -> bytes:
    """The body that a mall receives; the same bytes at every attempt."""
    content: dict[str, Any] = {
        "type": delivery.type,
        "timestamp": rfc3339(delivery.occurred_at),
        "sequence": delivery.sequence,
        "data": json.loads(delivery.data),
    }
    return json.dumps(content, separators=(",", ":"), ensure_ascii=False).encode()


def signature(delivery: Delivery, body: bytes, now: datetime) -> dict[str, str]:
    """The headers of Standard Webhooks: signed with every secret that is valid, so that a mall can change to the new one."""
    signatures = (Webhook(secret).sign(delivery.event_id, now, body.decode()) for secret in delivery.secrets)
    return {
        "webhook-id": delivery.event_id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": " ".join(signatures),
    }


class Veto(BaseModel):
    """How a mall says no to a refund; other members are its own affair."""

    code: Literal["refund_rejected"]
    detail: str = ""


def _veto(body: bytes) -> Veto | None:
    try:
        return Veto.model_validate_json(body)
    except ValidationError:
        return None


def _retry_after(header: str | None, now: datetime) -> timedelta | None:
    """What a Retry-After header asks for, in seconds or as a date; None when it says nothing that can be read."""
    if not header:
        return None
    if header.isdecimal():
        return timedelta(seconds=min(int(header), 10**6))
    try:
        return max(parsedate_to_datetime(header) - now, timedelta())
    except (ValueError, TypeError):
        return None
