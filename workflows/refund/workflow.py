"""The refund saga: undoes one order, asks the mall where it must agree, and ends when the mall knows.

PostgreSQL decides what is undone, in one transaction each. This workflow orders the steps in time, takes the order back when
the mall says no, and waits for a person when the mall says nothing. Wherever an earlier run stopped, the rows say what is left.
"""

from datetime import timedelta
from typing import Any

from temporalio import workflow
from temporalio.exceptions import ApplicationError, FailureError

with workflow.unsafe.imports_passed_through():
    from activities.interfaces import RefundActivities
    from domain.ids import event_id
    from domain.lifecycle import MallAnswer, RefundKind
    from domain.messages.base import WorkflowFailure
    from domain.messages.refunds import RefundAction, RefundRequest, RefundState
    from domain.schemas.events import EventType
    from workflows.activity_calls import refusal_of
    from workflows.markdown import SUMMARY_PART, quote
    from workflows.operator_inbox import OperatorMessage
    from workflows.operator_signals import signal_act
    from workflows.refund.operator_messages import RefundOperatorMessages
    from workflows.saga import Saga, run_to_completion

# Callers name the update: the SDK types one that has a description as if its result were a coroutine.
REQUEST = "request"
REQUEST_WITHIN = timedelta(minutes=1)


@workflow.defn
class RefundWorkflow(RefundOperatorMessages):
    @workflow.init
    def __init__(self, payload: Any = None, *surplus: Any) -> None:  # noqa: ANN401 - an operator may have written it
        # A handler may run before run() does: all that it reads is made here.
        super().__init__(payload, surplus)
        self._refused: ApplicationError | None = None
        self._requests_under_way = 0
        self._saga = Saga(self._is_no_request_under_way, self._inbox.close_all, self._flag_defect)

    @workflow.run
    async def run(self, payload: Any = None, *surplus: Any) -> str:  # noqa: ANN401, ARG002 - __init__ has them
        if self._input is None:
            raise ApplicationError(self._unusable, type=WorkflowFailure.UNUSABLE_INPUT, non_retryable=True)
        async with self._saga:
            self._saga.compensate_with(self._make_paid_again)
            await self._begin()
            if self._awaits_consent():
                if self._state.answer is None:
                    await self._ask_mall()
                await self._release_seat()
            self._inbox.close(RefundAction.DECIDE)
            self._saga.commit()
            await self._deliver_until_acknowledged()
            await self._finish()
        return f"{self._state.kind}: {self._state.status}"

    # --- what is asked for ---

    @workflow.update(name=REQUEST, description="Undo the order. The mall's POST /v1/orders/…/refund.")
    async def request(self, request: RefundRequest) -> RefundState:
        """Answers with the state after the first transaction; a refusal fails the update."""
        self._requests_under_way += 1
        try:
            return await self._open(request)
        except FailureError as exc:
            self._refused = refusal_of(exc)
            raise self._refused from exc
        finally:
            self._requests_under_way -= 1

    def _is_no_request_under_way(self) -> bool:
        return not self._requests_under_way

    # --- the steps of the saga ---

    async def _begin(self) -> None:
        """The first transaction: by the request that came with the start, or else by this workflow's input."""
        if self._order.awaits_request:
            await self._await_request()
        else:
            order = self._order
            act = order.act or (signal_act(order.operator, order.reason) if order.operator else None)
            request = RefundRequest(reason=order.reason, act=act, force=order.force, requested_at=order.requested_at)
            await run_to_completion(self._open(request), self._inbox.record_cancel)

    async def _await_request(self) -> None:
        def is_answered() -> bool:
            return bool(self._refund or self._refused) and self._is_no_request_under_way()

        if not await self._inbox.wait(is_answered, REQUEST_WITHIN, "the request"):
            await self._inbox.wait(self._is_no_request_under_way)
        if self._refund is None:
            missing = ApplicationError("No request came.", type=WorkflowFailure.NO_REQUEST, non_retryable=True)
            raise self._refused or missing

    async def _ask_mall(self) -> None:
        """Until the mall, or an operator in its place, has answered. A cancel of the workflow is an operator's no."""
        self._is_asking = True
        question = event_id(EventType.ORDER_REFUND_REQUESTED, self._state.order_id, self._state.attempt)
        try:
            await self._deliver([question], "ask the mall")
        finally:
            self._is_asking = False
        if closing := self._inbox.first(RefundAction.CLOSE_MANUALLY):
            await self._answer_for_mall(closing, MallAnswer.AGREED)
        elif decision := self._inbox.take(RefundAction.DECIDE):
            answer = MallAnswer.AGREED if decision.approve else MallAnswer.VETOED
            state = await self._answer_for_mall(decision, answer)
            decision.outcome = state.outcome
            # Who vetoes is answered when the order is paid again.
            decision.is_over = state.answer is not MallAnswer.VETOED
        elif self._inbox.cancelled:
            cancel = OperatorMessage(RefundAction.DECIDE, signal_act("", "The workflow was cancelled."))
            state = await self._answer_for_mall(cancel, MallAnswer.VETOED)
            if state.outcome is not None:
                self._log.note_act("cancel", cancel.act, state.outcome)

    async def _answer_for_mall(self, message: OperatorMessage, answer: MallAnswer) -> RefundState:
        """The first answer stands: it may be the mall's, which was on its way."""
        summary = f"{answer} by {quote(message.act.author.operator, SUMMARY_PART)}"
        return await self._change(RefundActivities.answer_refund, summary, message, answer)

    async def _release_seat(self) -> None:
        """After a yes the seat is released; after a no everything stays as it was."""
        state = await self._change(RefundActivities.release_refund, "release the seat")
        if state.answer is not MallAnswer.AGREED:
            reason = state.note or "The mall said no."
            raise ApplicationError(reason, type=WorkflowFailure.REFUND_REJECTED, non_retryable=True)

    async def _make_paid_again(self) -> None:
        """The compensation of a question that got a no, or was taken back."""
        if self._awaits_consent():
            await self._change(RefundActivities.reject_refund, "make the order paid again")

    async def _deliver_until_acknowledged(self) -> None:
        if self._inbox.cancelled:
            self._refuse_cancel_when_released()
        state, events = self._state, list[str]()
        if state.kind is RefundKind.UNPAID:
            events.append(event_id(EventType.ORDER_CANCELLED, state.order_id))
        elif not state.is_over:
            events.append(event_id(EventType.ORDER_REFUNDED, state.order_id, state.attempt))
        if events and self._inbox.first(RefundAction.CLOSE_MANUALLY) is None:
            await self._deliver(events, "tell the mall")

    async def _finish(self) -> None:
        closing = self._inbox.take(RefundAction.CLOSE_MANUALLY)
        if closing is not None or not self._state.is_over:
            state = await self._change(RefundActivities.finish_refund, "the mall knows", closing)
            if closing is not None:
                closing.end(state.outcome)
        self._log.flag(needs_attention=False)
