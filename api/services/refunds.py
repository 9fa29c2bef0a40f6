"""Refunds through their workflows: a request becomes an update, its answer is read from the rows."""

import uuid
from datetime import UTC, datetime
from typing import Any

from temporalio.client import Client, WithStartWorkflowOperation

from api.http.temporal_errors import answered_within, start_looked_at, workflow_answers
from db.core.connection import Database
from db.refunds.queries import RefundLookup, look_up_refund, refunds_under_way
from domain.errors import ErrorCode, GroupBuyError, Refusal
from domain.messages.refunds import RefundAnswer, RefundInput, RefundRequest
from domain.schemas.refunds import Refund
from settings import Settings
from workflows.refund import REQUEST, RefundWorkflow
from workflows.starters import RefundStarter, refund_start


async def request_refund(client: Client, refund: RefundInput, request: RefundRequest) -> None:
    """Starts a refund's workflow with a request, or asks the one that runs.

    Raises:
        Refusal, Unavailable: as workflow_answers.
    """
    start = WithStartWorkflowOperation(RefundWorkflow.run, refund, **refund_start(refund))
    async with workflow_answers(), start_looked_at(start):
        await client.execute_update_with_start_workflow(
            # Fresh per request: a refusal stays with its update id for the life of the run, and is not for ever.
            REQUEST,
            request,
            start_workflow_operation=start,
            id=f"request:{uuid.uuid4().hex}",
            result_type=RefundAnswer,
        )


class RefundService:
    def __init__(self, database: Database, client: Client, settings: Settings) -> None:
        self._database = database
        self._client = client
        self._settings = settings

    async def refund(self, source: str, out_trade_no: str, request: RefundRequest) -> tuple[Refund, bool]:
        """Undoes an order; returns its refund, and whether that was there before.

        Raises:
            Refusal: order_not_found, refund_window_closed.
            Unavailable: the outcome is open.
        """
        async with answered_within(self._settings.answer_within):
            place = await self._place(source, out_trade_no)
            if place.is_undone and place.refund is not None:
                return place.refund, True
            place.require_window(datetime.now(UTC), force=request.force)
            attempt = place.next_attempt
            named = RefundInput(source=source, out_trade_no=out_trade_no, attempt=attempt, awaits_request=True)
            try:
                await request_refund(self._client, named, request)
            except Refusal:
                # Another request, or the team's end, may have been quicker.
                place = await self._place(source, out_trade_no)
                if place.is_undone and place.refund is not None:
                    return place.refund, True
                raise
            place = await self._place(source, out_trade_no)
        if place.refund is None:
            raise GroupBuyError(ErrorCode.INTERNAL_ERROR, "A refund was confirmed that has no row.")
        return place.refund, False

    async def signal(self, order_id: str, signal: str, payload: dict[str, Any]) -> None:
        """Brings an operator's word to a refund that is under way.

        Raises:
            Refusal: order_not_found, refund_not_found.
            Unavailable: the outcome is open.
        """
        async with answered_within(self._settings.answer_within):
            under_way = await refunds_under_way(self._database, order_id)
            if under_way is None:
                raise Refusal(ErrorCode.ORDER_NOT_FOUND, f"There is no order {order_id}.")
            if not under_way:
                raise Refusal(ErrorCode.REFUND_NOT_FOUND, f"No refund of order {order_id} is under way.")
            for refund in under_way:
                await RefundStarter(self._client).signal(refund, signal, payload)

    async def _place(self, source: str, out_trade_no: str) -> RefundLookup:
        place = await look_up_refund(self._database, source, out_trade_no)
        if place is None:
            raise Refusal(ErrorCode.ORDER_NOT_FOUND, f"There is no order {out_trade_no}.")
        return place
