"""Refunds orders through the refund workflow: a request becomes an update, and its answer is read from the rows."""

import uuid
from datetime import UTC, datetime

from temporalio.client import Client

from api.http.temporal_errors import repeat_until_ready, retrieve_start_failure, time_limit, translate_update_errors
from db.core.connection import Database
from db.refunds.acts import decline_act, subject_of
from db.refunds.queries import RefundLookup, look_up_refund, look_up_refund_of_order, refunds_in_progress
from db.settings.audit import record_unchanged
from domain.errors import ErrorCode, GroupBuyError, Refusal
from domain.messages.acts import Act, Author, Outcome
from domain.messages.refunds import (
    DecideByOperator,
    DeclineAct,
    RefundAction,
    RefundInput,
    RefundRequest,
    RefundState,
)
from domain.schemas.refunds import Refund
from settings import Settings
from workflows.refund.workflow import REQUEST
from workflows.starters import refund_start, start_refund


async def request_refund(client: Client, refund: RefundInput, request: RefundRequest) -> RefundState:
    """Sends a request to a refund's workflow, starting it where it does not run.

    Raises:
        Refusal, Unavailable: as translate_update_errors.
    """
    start = refund_start(refund)
    async with translate_update_errors(), retrieve_start_failure(start):
        state: RefundState = await client.execute_update_with_start_workflow(
            REQUEST,
            request,
            start_workflow_operation=start,
            # Unique per request: Temporal answers a repeated update id with the first result, and a refusal may not last.
            id=f"request:{uuid.uuid4().hex}",
            result_type=RefundState,
        )
    return state


async def act_on_refund(
    client: Client, refund: RefundInput, action: RefundAction, argument: Act | DecideByOperator, update_id: str
) -> Outcome:
    """Does an operator's act to a refund, whose workflow is started again where it has ended.

    Raises:
        Unavailable: as translate_update_errors.
    """

    async def update() -> Outcome:
        start = refund_start(refund)
        async with retrieve_start_failure(start):
            outcome: Outcome = await client.execute_update_with_start_workflow(
                action.value, argument, start_workflow_operation=start, id=update_id, result_type=Outcome
            )
        return outcome

    async with translate_update_errors():
        return await repeat_until_ready(update)


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

    # --- operators ---

    async def refund_by_operator(
        self, order_id: str, *, by: Author, reason: str, force: bool, act_id: str = ""
    ) -> tuple[Outcome, Refund]:
        """Undoes an order of any mall; returns what came of that, and the refund as it is then.

        An act with an `act_id` is done once, however often it is sent; without it, each call is an act.

        Raises:
            Refusal: order_not_found; refund_window_closed without `force`, which is recorded, too.
            Unavailable: the outcome is unknown.
        """
        now = datetime.now(UTC)
        act = Act(id=act_id or uuid.uuid4().hex, author=by, reason=reason)
        request = RefundRequest(reason=reason, act=act, force=force, requested_at=now)
        async with time_limit(self._settings.answer_within):
            found = await self._look_up_by_id(order_id)
            refund = RefundInput(source=found.source, out_trade_no=found.out_trade_no, attempt=found.next_attempt)
            if found.is_owed:
                await start_refund(self._client, refund.model_copy(update={"reason": reason, "requested_at": now}))
            if (found.is_undone or found.is_owed) and found.refund is not None:
                return await self._was_undone(order_id, found, act, now), found.refund
            try:
                state = await request_refund(self._client, refund.model_copy(update={"awaits_request": True}), request)
            except Refusal as refusal:
                # A concurrent request, or the end of the team, may have undone the order first.
                found = await self._look_up_by_id(order_id)
                if found.is_undone and found.refund is not None:
                    return Outcome(changed=False, detail=refusal.detail), found.refund
                raise
            found = await self._look_up_by_id(order_id)
        if found.refund is None or state.outcome is None:
            raise GroupBuyError(ErrorCode.INTERNAL_ERROR, "A refund was confirmed that has no row.")
        return state.outcome, found.refund

    async def act(
        self, order_id: str, action: RefundAction, *, by: Author, note: str = "", approve: bool = False, act_id: str = ""
    ) -> tuple[Outcome, Refund]:
        """Does an operator's act to the unfinished refunds of an order; returns what came of it, and the latest refund.

        An act with an `act_id` is done once, however often it is sent; without it, each call is an act.

        Raises:
            Refusal: order_not_found, refund_not_found.
            Unavailable: the outcome is unknown.
        """
        act = Act(id=act_id or uuid.uuid4().hex, author=by, reason=note)
        async with time_limit(self._settings.answer_within):
            under_way = await refunds_in_progress(self._database, order_id)
            if under_way is None:
                raise Refusal(ErrorCode.ORDER_NOT_FOUND, f"There is no order {order_id}.")
            outcomes = [await self._act_on(refund, action, act, approve=approve) for refund in under_way]
            found = await self._look_up_by_id(order_id)
            if found.refund is None or found.attempts == 0:
                raise Refusal(ErrorCode.REFUND_NOT_FOUND, f"Order {order_id} has no refund.")
            if not outcomes:
                attempt, now = found.attempts, datetime.now(UTC)
                decline = DeclineAct(order_id=order_id, attempt=attempt, action=action, act=act, now=now)
                outcomes = [await decline_act(self._database, decline)]
        detail = " ".join(dict.fromkeys(outcome.detail for outcome in outcomes))
        return Outcome(changed=any(outcome.changed for outcome in outcomes), detail=detail), found.refund

    async def _act_on(self, refund: RefundInput, action: RefundAction, act: Act, *, approve: bool) -> Outcome:
        # An order may have two unfinished refunds; each is an act of its own.
        act = act.model_copy(update={"id": f"{act.id}-{refund.attempt}"})
        argument = DecideByOperator(approve=approve, act=act) if action is RefundAction.DECIDE else act
        return await act_on_refund(self._client, refund, action, argument, f"{action}:{act.id}")

    async def _was_undone(self, order_id: str, found: RefundLookup, act: Act, now: datetime) -> Outcome:
        detail = "The platform returns its money already." if found.is_owed else f"The order is {found.order_status} already."
        return await record_unchanged(self._database, subject_of(order_id), "refund", act, detail, now)

    async def _look_up_by_id(self, order_id: str) -> RefundLookup:
        found = await look_up_refund_of_order(self._database, order_id)
        if found is None:
            raise Refusal(ErrorCode.ORDER_NOT_FOUND, f"There is no order {order_id}.")
        return found

    async def _look_up(self, source: str, out_trade_no: str) -> RefundLookup:
        found = await look_up_refund(self._database, source, out_trade_no)
        if found is None:
            raise Refusal(ErrorCode.ORDER_NOT_FOUND, f"There is no order {out_trade_no}.")
        return found
