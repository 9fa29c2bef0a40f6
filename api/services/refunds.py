"""Refunds orders through the refund workflow: a request becomes an update, and its answer is read from the rows."""

import uuid
from datetime import UTC, datetime
from typing import Any

from temporalio.client import Client, WithStartWorkflowOperation

from api.http.temporal_errors import retrieve_start_failure, time_limit, translate_update_errors
from db.core.connection import Database
from db.refunds.queries import RefundLookup, look_up_refund, look_up_refund_of_order, refunds_in_progress
from domain.errors import ErrorCode, GroupBuyError, Refusal
from domain.messages.refunds import RefundInput, RefundRequest, RefundState
from domain.schemas.refunds import Refund
from settings import Settings
from workflows.refund.workflow import REQUEST, RefundWorkflow
from workflows.starters import refund_options, signal_refund, start_refund


async def request_refund(client: Client, refund: RefundInput, request: RefundRequest) -> None:
    """Sends a request to a refund's workflow, starting it where it does not run.

    Raises:
        Refusal, Unavailable: as translate_update_errors.
    """
    start = WithStartWorkflowOperation(RefundWorkflow.run, refund, **refund_options(refund))
    async with translate_update_errors(), retrieve_start_failure(start):
        await client.execute_update_with_start_workflow(
            REQUEST,
            request,
            start_workflow_operation=start,
            # Unique per request: Temporal answers a repeated update id with the first result, and a refusal may not last.
            id=f"request:{uuid.uuid4().hex}",
            result_type=RefundState,
        )


class RefundService:
    def __init__(self, database: Database, client: Client, settings: Settings) -> None:
        self._database = database
        self._client = client
        self._settings = settings

    async def refund(self, source: str, out_trade_no: str, request: RefundRequest) -> tuple[Refund, bool]:
        """Undoes an order; returns its refund, and whether that existed before.

        Raises:
            Refusal: order_not_found, refund_window_closed.
            Unavailable: the outcome is unknown.
        """
        now = datetime.now(UTC)
        # However long it waits for its workflow: the window is judged by this moment, and by this clock alone.
        request = request.model_copy(update={"requested_at": now})
        async with time_limit(self._settings.answer_within):
            found = await self._look_up(source, out_trade_no)
            if found.is_undone and found.refund is not None:
                return found.refund, True
            refund = RefundInput(source=source, out_trade_no=out_trade_no, attempt=found.next_attempt)
            if found.is_owed and found.refund is not None:
                # The platform returns this money by itself. Where its workflow waits among many others, nobody waits for it
                # here; where there is none yet, it begins now.
                await start_refund(self._client, refund.model_copy(update=request.model_dump()))
                return found.refund, True
            found.require_window(now, force=request.force)
            try:
                await request_refund(self._client, refund.model_copy(update={"awaits_request": True}), request)
            except Refusal:
                # A concurrent request, or the end of the team, may have undone the order first.
                found = await self._look_up(source, out_trade_no)
                if found.is_undone and found.refund is not None:
                    return found.refund, True
                raise
            found = await self._look_up(source, out_trade_no)
        if found.refund is None:
            raise GroupBuyError(ErrorCode.INTERNAL_ERROR, "A refund was confirmed that has no row.")
        return found.refund, False

    async def refund_by_id(self, order_id: str, request: RefundRequest) -> tuple[Refund, bool]:
        """As `refund`, for an order of any mall."""
        found = await look_up_refund_of_order(self._database, order_id)
        if found is None:
            raise Refusal(ErrorCode.ORDER_NOT_FOUND, f"There is no order {order_id}.")
        return await self.refund(found.source, found.out_trade_no, request)

    async def signal(self, order_id: str, signal: str, payload: dict[str, Any]) -> None:
        """Sends an operator's signal to the unfinished refunds of an order.

        Raises:
            Refusal: order_not_found, refund_not_found.
            Unavailable: the outcome is unknown.
        """
        async with time_limit(self._settings.answer_within):
            under_way = await refunds_in_progress(self._database, order_id)
            if under_way is None:
                raise Refusal(ErrorCode.ORDER_NOT_FOUND, f"There is no order {order_id}.")
            if not under_way:
                raise Refusal(ErrorCode.REFUND_NOT_FOUND, f"No refund of order {order_id} is under way.")
            for refund in under_way:
                await signal_refund(self._client, refund, signal, payload)

    async def _look_up(self, source: str, out_trade_no: str) -> RefundLookup:
        found = await look_up_refund(self._database, source, out_trade_no)
        if found is None:
            raise Refusal(ErrorCode.ORDER_NOT_FOUND, f"There is no order {out_trade_no}.")
        return found
