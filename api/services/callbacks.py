"""Sending events again, and samples: the rows are made due, and who delivers them is woken."""

import asyncio
import json
import secrets
import uuid
from collections.abc import Coroutine
from datetime import UTC, datetime
from typing import Any

from temporalio.client import Client, WorkflowFailureError
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy

from api.http.temporal_errors import answered_within
from api.services.refunds import RefundService
from db.callbacks.redelivery import DeliveryStatus, RedeliverySlice, resend_event, resend_range
from db.core.connection import Database
from domain.errors import ErrorCode, Refusal, Unavailable
from domain.messages.callbacks import Address, Resend, Sample, SampleReply
from domain.schemas.events import SAMPLES, EventType
from settings import Settings
from workflows.redelivery import RESEND, RedeliveryWorkflow, SampleWorkflow
from workflows.starters import fit_summary
from workflows.task_queues import CALLBACKS_QUEUE

SLICE = 200
"""events that one workflow sees to"""
AT_ONCE = 20
SAMPLE_LONGER = 5.0
"""seconds for a sample's way there and back, beside the attempt itself"""


class CallbackService:
    def __init__(self, database: Database, client: Client, refunding: RefundService, settings: Settings) -> None:
        self._database = database
        self._client = client
        self._refunding = refunding
        self._settings = settings

    async def event(self, event_id: str, *, by: str, source: str | None = None) -> int:
        """Sends one event again, to each of its addresses; returns whether there is something to send.

        Raises:
            Refusal: event_not_found, also where it is another mall's.
            Unavailable: the outcome is open; what is due is sent within minutes.
        """
        async with answered_within(self._settings.answer_within):
            resent = await resend_event(self._database, event_id, source, datetime.now(UTC))
            if resent is None:
                raise Refusal(ErrorCode.EVENT_NOT_FOUND, f"There is no event {event_id}.")
            await self._wake(resent, [f"callback-{event_id}"], by)
        return _count(resent)

    async def range(self, source: str, since: datetime, until: datetime, status: DeliveryStatus, *, by: str) -> int:
        """Sends a mall's events of a time again; returns how many.

        Raises:
            Unavailable: the outcome is open; what is due is sent within minutes.
        """
        async with answered_within(self._settings.answer_within):
            resent = await resend_range(self._database, source, since, until, status, datetime.now(UTC))
            slices = range(0, len(resent.event_ids), SLICE)
            await self._wake(resent, [f"callbacks-{source}-{uuid.uuid4().hex}" for _ in slices], by)
        return _count(resent)

    async def sample(self, source: str, event_type: EventType, callback: Address) -> SampleReply:
        """Sends a sample, once; returns what the mall replied.

        Raises:
            Unavailable: it is not known whether it was sent.
        """
        event_id = f"evt_sample_{secrets.token_hex(12)}"
        sample = Sample(
            source=source,
            event_id=event_id,
            type=event_type,
            data=json.dumps(SAMPLES[event_type]),
            callback=callback,
            now=datetime.now(UTC),
        )
        async with answered_within(self._settings.callback_timeout + SAMPLE_LONGER):
            try:
                return await self._client.execute_workflow(
                    SampleWorkflow.run,
                    sample,
                    id=f"callback-{event_id}",
                    task_queue=CALLBACKS_QUEUE,
                    static_summary=fit_summary(f"A sample of {event_type} for mall {source}"),
                )
            except WorkflowFailureError as failure:
                raise Unavailable("The sample could not be sent; try again.") from failure

    async def _wake(self, resent: RedeliverySlice, ids: list[str], by: str) -> None:
        """A refund's workflow goes on when it is told; for all else there is one of its own."""
        turns = asyncio.Semaphore(AT_ONCE)

        async def in_turn(step: Coroutine[Any, Any, None]) -> None:
            async with turns:
                await step

        await asyncio.gather(
            *(
                in_turn(self._start(workflow_id, resent.event_ids[place * SLICE : (place + 1) * SLICE], by))
                for place, workflow_id in enumerate(ids)
                if resent.event_ids
            ),
            *(in_turn(self._resend_refund(order_id, by)) for order_id in resent.refunds),
        )

    async def _start(self, workflow_id: str, event_ids: list[str], by: str) -> None:
        await self._client.start_workflow(
            RedeliveryWorkflow.run,
            Resend(event_ids=event_ids),
            id=workflow_id,
            task_queue=CALLBACKS_QUEUE,
            # One that runs may wait for a later try: the signal that comes with the start ends that.
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
            start_signal=RESEND,
            start_signal_args=[{"operator": by[:128]}],
            static_summary=fit_summary(f"Sends {len(event_ids)} event(s) again, for {by}"),
        )

    async def _resend_refund(self, order_id: str, by: str) -> None:
        try:
            await self._refunding.signal(order_id, "resend", {"operator": by[:128]})
        except Refusal:
            # It has ended meanwhile: the mall knows.
            return


def _count(resent: RedeliverySlice) -> int:
    return len(resent.event_ids) + len(resent.refunds)
