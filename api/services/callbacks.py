"""Redelivers events and sends samples: the rows are made due, and the workflows that deliver them are signalled."""

import asyncio
import json
import secrets
import uuid
from collections.abc import Coroutine
from datetime import UTC, datetime
from typing import Any

from temporalio.client import Client, WorkflowFailureError

from api.http.temporal_errors import time_limit
from api.services.refunds import RefundService
from db.callbacks.deliveries import DeliveryStatus
from db.callbacks.redelivery import RedeliverySlice, redeliver_event, redeliver_range
from db.core.connection import Database
from db.settings.keys import MallAccess
from domain.addresses import routing_key_refusal, url_refusal
from domain.errors import ErrorCode, Refusal, Unavailable
from domain.messages.callbacks import Address, CallbackFormat, Sample, SampleReply
from domain.schemas.callback_settings import AmqpCallback, Callback
from domain.schemas.events import SAMPLES, EventType
from settings import Settings
from workflows.starters import execute_sample, start_redelivery

SLICE = 200
"""events per redelivery workflow"""
MAX_CONCURRENT_CALLS = 20
SAMPLE_OVERHEAD = 5.0
"""seconds that a sample may take beyond its one attempt"""


class CallbackService:
    def __init__(self, database: Database, client: Client, refunds: RefundService, settings: Settings) -> None:
        self._database = database
        self._client = client
        self._refunds = refunds
        self._settings = settings

    async def redeliver_event(self, event_id: str, *, by: str, source: str | None = None) -> int:
        """Sends one event again, to each of its addresses; returns the number of events that are sent, 0 or 1.

        Raises:
            Refusal: event_not_found, also for another mall's event.
            Unavailable: the outcome is unknown; reconciliation delivers within minutes what is due.
        """
        async with time_limit(self._settings.answer_within):
            due = await redeliver_event(self._database, event_id, source, datetime.now(UTC))
            if due is None:
                raise Refusal(ErrorCode.EVENT_NOT_FOUND, f"There is no event {event_id}.")
            await self._deliver(due, [f"callback-{event_id}"], by)
        return _count(due)

    async def redeliver_range(self, source: str, since: datetime, until: datetime, status: DeliveryStatus, *, by: str) -> int:
        """Sends a mall's events of a period again; returns how many.

        Raises:
            Unavailable: the outcome is unknown; reconciliation delivers within minutes what is due.
        """
        async with time_limit(self._settings.answer_within):
            due = await redeliver_range(self._database, source, since, until, status, datetime.now(UTC))
            slices = range(0, len(due.event_ids), SLICE)
            await self._deliver(due, [f"callbacks-{source}-{uuid.uuid4().hex}" for _ in slices], by)
        return _count(due)

    async def send_sample(self, mall: MallAccess, event_type: EventType, callback: Callback | None) -> SampleReply:
        """Sends a sample event once, to this callback or the mall's own; returns the mall's reply.

        Raises:
            Refusal: invalid_request, when there is no address, or one that the mall may not use.
            Unavailable: it is unknown whether it was sent.
        """
        address = callback_address(mall, callback)
        if address is None:
            raise Refusal(ErrorCode.INVALID_REQUEST, "callback: name an address, because the mall has no default one.")
        event_id = f"evt_sample_{secrets.token_hex(12)}"
        sample = Sample(
            source=mall.source,
            event_id=event_id,
            type=event_type,
            data=json.dumps(SAMPLES[event_type]),
            callback=address,
            now=datetime.now(UTC),
        )
        async with time_limit(self._settings.callback_timeout + SAMPLE_OVERHEAD):
            try:
                return await execute_sample(self._client, sample)
            except WorkflowFailureError as error:
                raise Unavailable("The sample could not be sent; try again.") from error

    async def _deliver(self, due: RedeliverySlice, workflow_ids: list[str], by: str) -> None:
        """Signals the workflows of refunds, and starts one for each slice of all other events."""
        slots = asyncio.Semaphore(MAX_CONCURRENT_CALLS)

        async def in_slot(call: Coroutine[Any, Any, None]) -> None:
            async with slots:
                await call

        await asyncio.gather(
            *(
                in_slot(start_redelivery(self._client, workflow_id, due.event_ids[n * SLICE : (n + 1) * SLICE], operator=by))
                for n, workflow_id in enumerate(workflow_ids)
                if due.event_ids
            ),
            *(in_slot(self._signal_refund(order_id, by)) for order_id in due.refunds),
        )

    async def _signal_refund(self, order_id: str, by: str) -> None:
        try:
            await self._refunds.signal(order_id, "resend", {"operator": by[:128]})
        except Refusal:
            # The refund has finished meanwhile, which means that the mall has been told.
            return


def callback_address(
    mall: MallAccess, callback: Callback | None, callback_format: CallbackFormat = "standard"
) -> Address | None:
    """Returns where events are sent: to this callback, else to the mall's default, which may be None.

    Raises:
        Refusal: invalid_request, when the callback's host or routing key is not one of the mall's.
    """
    match callback:
        case None:
            return mall.callback
        case AmqpCallback(routing_key=routing_key):
            if refused := routing_key_refusal(routing_key, mall.routing_key_prefixes, legacy=callback_format == "original"):
                raise Refusal(ErrorCode.INVALID_REQUEST, f"callback.routing_key: {refused}")
            return Address(kind="amqp", address=routing_key, format=callback_format)
        case http:
            url = str(http.url)
            if refused := url_refusal(url, mall.callback_hosts):
                raise Refusal(ErrorCode.INVALID_REQUEST, f"callback.url: {refused}")
            return Address(kind="http", address=url, format=callback_format)


def _count(due: RedeliverySlice) -> int:
    return len(due.event_ids) + len(due.refunds)
