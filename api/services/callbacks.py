"""Redelivers events and sends samples: the rows are made due, and the workflows that deliver them are signalled."""

import json
import secrets
import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from temporalio.client import Client, WorkflowFailureError

from api.http.temporal_errors import time_limit
from api.services.refunds import RefundService
from db.callbacks.mass_redelivery import begin_redelivery
from db.callbacks.queries import read_callback
from db.callbacks.redelivery import RedeliverySlice, redeliver_event
from db.core.connection import Database
from db.settings.keys import MallAccess
from domain.addresses import routing_key_refusal, url_refusal
from domain.errors import ErrorCode, GroupBuyError, Refusal, Unavailable
from domain.messages.acts import Act, Author, Outcome
from domain.messages.callbacks import Address, CallbackFormat, Sample, SampleReply
from domain.messages.refunds import RefundAction
from domain.schemas.audit import Via
from domain.schemas.callback_settings import AmqpCallback, Callback
from domain.schemas.callbacks import OpsCallbackAttempts
from domain.schemas.events import SAMPLES, EventType
from domain.schemas.redeliveries import Redelivery, RedeliveryRange
from settings import Settings
from workflows.starters import execute_sample, start_mass_redelivery, start_redelivery

SAMPLE_OVERHEAD = 5.0
"""seconds that a sample may take beyond its one attempt"""


class CallbackService:
    def __init__(self, database: Database, client: Client, refunds: RefundService, settings: Settings) -> None:
        self._database = database
        self._client = client
        self._refunds = refunds
        self._settings = settings

    async def redeliver_own(self, event_id: str, mall: MallAccess) -> int:
        """Sends a mall's event again, to each of its addresses; returns the number of events that are sent, 0 or 1.

        Raises:
            Refusal: event_not_found, also for another mall's event.
            Unavailable: the outcome is unknown; reconciliation delivers within minutes what is due.
        """
        by = Author(operator=f"mall {mall.source}", via=Via.API, key_id=mall.key_id or None)
        async with time_limit(self._settings.answer_within):
            due = await self._redeliver(event_id, mall.source, by)
        return len(due.event_ids) + len(due.refunds)

    async def redeliver_by_operator(
        self, event_id: str, *, by: Author, act_id: str = ""
    ) -> tuple[Outcome, OpsCallbackAttempts]:
        """Sends an event of any mall again; returns what came of that, and the event with its callbacks as it is then.

        An act with an `act_id` is done once, however often it is sent; without it, each call is an act.

        Raises:
            Refusal: event_not_found.
            Unavailable: the outcome is unknown.
        """
        act = Act(id=act_id or uuid.uuid4().hex, author=by)
        async with time_limit(self._settings.answer_within):
            due = await self._redeliver(event_id, None, by, act)
            callback = await read_callback(self._database, event_id)
        if callback is None or due.outcome is None:
            raise GroupBuyError(ErrorCode.INTERNAL_ERROR, "An event was sent again that has no row.")
        return due.outcome, callback

    async def _redeliver(self, event_id: str, source: str | None, by: Author, act: Act | None = None) -> RedeliverySlice:
        due = await redeliver_event(self._database, event_id, source, datetime.now(UTC), act)
        if due is None:
            raise Refusal(ErrorCode.EVENT_NOT_FOUND, f"There is no event {event_id}.")
        if due.event_ids:
            await start_redelivery(self._client, f"callback-{event_id}", due.event_ids, operator=by.operator)
        for order_id in due.refunds:
            outcome, _ = await self._refunds.act(order_id, RefundAction.RESEND, by=by, act_id=act.id if act else "")
            due = replace(due, outcome=outcome)
        return due

    async def redeliver_range(self, wanted: RedeliveryRange, *, by: Author, act_id: str = "") -> Redelivery:
        """Lets a mall's events of a period be sent again; joins the workflow that does so already.

        An act with an `act_id` is done once, however often it is sent; without it, each call is an act.

        Raises:
            Unavailable: it is unknown whether the workflow runs; a repeat starts it where it does not.
        """
        async with time_limit(self._settings.answer_within):
            now = datetime.now(UTC)
            gives_up_at = now + timedelta(seconds=self._settings.callback_give_up)
            act = Act(id=act_id or uuid.uuid4().hex, author=by)
            redelivery = await begin_redelivery(self._database, wanted, act=act, now=now, gives_up_at=gives_up_at)
            if redelivery.finished_at is None:
                await start_mass_redelivery(self._client, redelivery)
        return redelivery

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
