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
    from domain.messages.refunds import RefundRequest, RefundState
    from domain.messages.signals import CloseManuallySignal, DecideSignal, ResendSignal
    from domain.schemas.events import EventType
    from workflows.activity_calls import refusal_of
    from workflows.markdown import SUMMARY_PART, quote
    from workflows.refund.steps import RefundSteps
    from workflows.saga import Saga, run_to_completion

# Callers name the update: the SDK types one that has a description as if its result were a coroutine.
REQUEST = "request"
REQUEST_WITHIN = timedelta(minutes=1)
NOT_ASKED = "decide changed nothing: the mall is not being asked."


@workflow.defn
class RefundWorkflow(RefundSteps):
    @workflow.init
    def __init__(self, payload: Any = None, *surplus: Any) -> None:  # noqa: ANN401 - an operator may have written it
        # A handler may run before run() does: all that it reads is made here.
        super().__init__(payload, surplus)
        self._refused: ApplicationError | None = None
        self._may_ask = True
        """until it is known that the mall is not, or no longer, to be asked"""
        self._saga = Saga(self._flag_defect)

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
            self._close_decision_window()
            self._saga.commit()
            await self._deliver_until_acknowledged()
            await self._finish()
        return f"{self._state.kind}: {self._state.status}"

    # --- what is asked for ---

    @workflow.update(name=REQUEST, description="Undo the order. The mall's POST /v1/orders/…/refund.")
    async def request(self, request: RefundRequest) -> RefundState:
        """Answers with the state after the first transaction; a refusal fails the update."""
        try:
            return await self._open(request)
        except FailureError as exc:
            self._refused = refusal_of(exc)
            raise self._refused from exc

    # --- what operators ask for: any JSON is accepted, and parsed here ---

    @workflow.signal(description='Answer in the mall\'s place: {"approve": true, "operator": "you", "note": "why"}')
    async def decide(self, payload: Any = None, *surplus: Any) -> None:  # noqa: ANN401
        signal = self._log.parse(DecideSignal, payload, surplus, "decide")
        # It may come with the start: then it waits for the question.
        if signal is not None and (self._is_asking or self._may_ask):
            self._inbox.decision = signal
        elif signal is not None:
            self._log.note(NOT_ASKED)

    @workflow.signal(description='Tell the mall again, now: {"operator": "you"}')
    async def resend(self, payload: Any = None, *surplus: Any) -> None:  # noqa: ANN401
        self._inbox.resend = self._log.parse(ResendSignal, payload, surplus, "resend") or self._inbox.resend

    @workflow.signal(description='The mall was told outside the platform: {"operator": "you", "note": "how"}')
    async def close_manually(self, payload: Any = None, *surplus: Any) -> None:  # noqa: ANN401
        signal = self._log.parse(CloseManuallySignal, payload, surplus, "close_manually")
        self._inbox.closed = signal or self._inbox.closed

    # --- the steps of the saga ---

    async def _begin(self) -> None:
        """The first transaction: by the request that came with the start, or else by this workflow's input."""
        if self._order.awaits_request:
            await self._await_request()
        else:
            order = self._order
            request = RefundRequest(
                reason=order.reason, operator=order.operator, force=order.force, requested_at=order.requested_at
            )
            await run_to_completion(self._open(request), self._inbox.record_cancel)

    async def _await_request(self) -> None:
        def is_answered() -> bool:
            return bool(self._refund or self._refused) and workflow.all_handlers_finished()

        if not await self._inbox.wait(is_answered, REQUEST_WITHIN, "the request"):
            await self._inbox.wait(workflow.all_handlers_finished)
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
            self._is_asking = self._may_ask = False
        signal, self._inbox.decision = self._inbox.closed or self._inbox.decision, None
        if signal is None and self._inbox.cancelled:
            signal = DecideSignal(approve=False, note="The workflow was cancelled.")
        if signal is not None:
            await self._answer_for_mall(signal)

    async def _answer_for_mall(self, signal: CloseManuallySignal) -> None:
        """The first answer stands: it may be the mall's, which was on its way."""
        is_veto = isinstance(signal, DecideSignal) and not signal.approve
        answer = MallAnswer.VETOED if is_veto else MallAnswer.AGREED
        by, note = quote(signal.operator, SUMMARY_PART) or "an operator", quote(signal.note.rstrip(".")) or "no note"
        state = await self._change(RefundActivities.answer_refund, f"{answer} by {by}", signal.operator, signal.note, answer)
        late = "" if state.answer is answer else f" It changed nothing: the mall had {state.answer} before."
        self._log.note(f"{answer} in the mall's place by {by}: {note}.{late}")

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

    def _close_decision_window(self) -> None:
        self._may_ask = False
        if self._inbox.decision is not None:
            self._inbox.decision = None
            self._log.note(NOT_ASKED)

    async def _deliver_until_acknowledged(self) -> None:
        if self._inbox.cancelled:
            self._refuse_cancel_when_released()
        state, events = self._state, list[str]()
        if state.kind is RefundKind.UNPAID:
            events.append(event_id(EventType.ORDER_CANCELLED, state.order_id))
        elif not state.is_over:
            events.append(event_id(EventType.ORDER_REFUNDED, state.order_id, state.attempt))
        if events and self._inbox.closed is None:
            await self._deliver(events, "tell the mall")

    async def _finish(self) -> None:
        closed = self._inbox.closed
        # An unpaid order is undone at once: only a person who told the mall elsewhere has something to add.
        is_unpaid = self._state.kind is RefundKind.UNPAID
        if not self._state.is_over or (is_unpaid and closed is not None):
            operator, note = (closed.operator or "an operator", closed.note) if closed else ("", "")
            await self._change(RefundActivities.finish_refund, "the mall knows", operator, note)
        if closed is not None:
            self._log.note(f"close_manually by {quote(closed.operator) or 'an operator'}: {quote(closed.note) or 'no note'}.")
        self._log.flag(needs_attention=False)
