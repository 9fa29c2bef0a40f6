"""The refund saga: undoes one order, asks the mall where it must agree, and ends when the mall knows.

PostgreSQL decides what is undone, in one transaction each. This workflow orders the steps in time, takes the order back when
the mall says no, and waits for a person when the mall says nothing. Wherever an earlier run stopped, the rows say what is left.
"""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from temporalio import workflow
from temporalio.exceptions import ApplicationError, FailureError

with workflow.unsafe.imports_passed_through():
    from activities.refunds import RefundActivities
    from activities.settlement import SettlementActivities
    from domain.ids import event_id, order_id, team_workflow_id
    from domain.lifecycle import MallAnswer, RefundKind, RefundStatus
    from domain.messages.base import WorkflowFailure
    from domain.messages.orders import PaymentReport, SettledPayment, SettlePayment
    from domain.messages.refunds import ChangeRefund, OpenRefund, RefundAnswer, RefundInput, RefundRequest, RefundState
    from domain.messages.signals import CloseManuallySignal, DecideSignal, ResendSignal
    from domain.messages.teams import MemberLeft
    from domain.schemas.events import EventType
    from workflows.activity_calls import Step, execute_local_first, failure_of, refusal_of, start_delivery
    from workflows.details import moment, refund_details
    from workflows.operator_signals import SignalT, UnusablePayloadError, parse_signal
    from workflows.saga import Compensations, ends_the_workflow, to_its_end
    from workflows.search_attributes import MALL, NEEDS_ATTENTION, OUT_TRADE_NO, REFUND_KIND, REFUND_STATUS

# Callers name the update: the SDK types one that has a description as if its result were a coroutine.
REQUEST = "request"
REQUEST_WITHIN = timedelta(minutes=1)
MEMBER_LEFT = "member_left"
LAST_NOTES = 5
NOT_ASKED = "decide changed nothing: the mall is not being asked."
# While it waits for a person: somebody may have made the callback due again, and nobody told this workflow.
LOOK_AGAIN_FIRST, LOOK_AGAIN_LATEST = timedelta(minutes=1), timedelta(days=1)


@workflow.defn
class RefundWorkflow:
    @workflow.init
    def __init__(self, payload: Any = None, *surplus: Any) -> None:  # noqa: ANN401 - an operator may have written it
        # A handler may run before run() does: all that it reads is made here.
        self._order: RefundInput | None = None
        self._unusable = ""
        try:
            self._order = parse_signal(RefundInput, payload, surplus)
        except UnusablePayloadError as mistake:
            self._unusable = str(mistake)
        self._refund: RefundState | None = None
        self._booked: SettledPayment | None = None
        self._refused: ApplicationError | None = None
        self._undo = Compensations()
        self._is_asking = False
        self._may_ask = True
        """until it is known that the mall is not, or not any more, to be asked"""
        self._cancelled = False
        self._decided: DecideSignal | None = None
        self._resend: ResendSignal | None = None
        self._closed: CloseManuallySignal | None = None
        self._shown: tuple[RefundKind, RefundStatus] | None = None
        self._is_flagged = False
        self._notes: list[str] = []

    @workflow.run
    async def run(self, payload: Any = None, *surplus: Any) -> str:  # noqa: ANN401, ARG002 - __init__ has them
        if self._order is None:
            raise ApplicationError(self._unusable, type=WorkflowFailure.UNUSABLE_INPUT, non_retryable=True)
        self._undo.add(self._make_paid_again)
        try:
            await self._begin()
            if self._has_a_question():
                await self._ask_mall()
                await self._release()
            self._ask_no_more()
            self._undo.forget()
            await self._tell_mall()
            await self._finish()
        except BaseException as stopped:
            if not ends_the_workflow(stopped):
                raise
            await workflow.wait_condition(workflow.all_handlers_finished)
            await self._undo.run()
            self._flag(needs_attention=self._is_defect(stopped))
            raise
        await workflow.wait_condition(workflow.all_handlers_finished)
        return self._ending()

    # --- what is asked for ---

    @workflow.update(
        name=REQUEST, description="Undo the order, or book a payment that its team's workflow cannot book any more."
    )
    async def request(self, asked: RefundRequest) -> RefundAnswer:
        """Answers with what the first transaction did; a refusal fails the update."""
        try:
            if asked.payment is not None:
                self._booked = await self._book(asked.payment)
                return RefundAnswer(payment=self._booked)
            return RefundAnswer(refund=await self._open(asked))
        except FailureError as failure:
            self._refused = refusal_of(failure)
            raise self._refused from failure

    # --- what operators ask for: any JSON is accepted, and judged here ---

    @workflow.signal(description='Answer in the mall\'s place: {"approve": true, "operator": "you", "note": "why"}')
    async def decide(self, payload: Any = None, *surplus: Any) -> None:  # noqa: ANN401
        asked = self._judge(DecideSignal, payload, surplus, "decide")
        # It may come with the start: then it waits for the question. Workflows of before did not know that.
        if asked is not None and (self._is_asking or (self._may_ask and workflow.patched("early-decide"))):
            self._decided = asked
        elif asked is not None:
            self._note(NOT_ASKED)

    @workflow.signal(description='Tell the mall again, now: {"operator": "you"}')
    async def resend(self, payload: Any = None, *surplus: Any) -> None:  # noqa: ANN401
        self._resend = self._judge(ResendSignal, payload, surplus, "resend") or self._resend

    @workflow.signal(description='The mall was told outside the platform: {"operator": "you", "note": "how"}')
    async def close_manually(self, payload: Any = None, *surplus: Any) -> None:  # noqa: ANN401
        self._closed = self._judge(CloseManuallySignal, payload, surplus, "close_manually") or self._closed

    # --- the steps of the saga ---

    async def _begin(self) -> None:
        """The first transaction: by the request that came with the start, or else by this workflow's input."""
        if self._asked.awaits_request:
            await to_its_end(self._until_request(), self._note_cancel)
        if self._refund is None and (self._booked is None or self._booked.refund_attempt is not None):
            asked = RefundRequest(reason=self._asked.reason, operator=self._asked.operator, force=self._asked.force)
            await to_its_end(self._open(asked), self._note_cancel)

    async def _until_request(self) -> None:
        def has_answer() -> bool:
            return bool(self._refund or self._booked or self._refused) and workflow.all_handlers_finished()

        try:
            await workflow.wait_condition(has_answer, timeout=REQUEST_WITHIN, timeout_summary="the request")
        except TimeoutError:
            await workflow.wait_condition(workflow.all_handlers_finished)
        if self._refund is None and self._booked is None:
            nothing = ApplicationError("No request came.", type=WorkflowFailure.NO_REQUEST, non_retryable=True)
            raise self._refused or nothing

    async def _ask_mall(self) -> None:
        """Until the mall, or an operator in its place, has answered. A cancel of the workflow is an operator's no."""
        self._is_asking = True
        question = event_id(EventType.ORDER_REFUND_REQUESTED, self._now.order_id, self._now.attempt)
        try:
            await self._deliver([question], "ask the mall")
        finally:
            self._is_asking = self._may_ask = False
        by, self._decided = self._closed or self._decided, None
        if by is None and self._cancelled:
            by = DecideSignal(approve=False, note="The workflow was cancelled.")
        if by is not None:
            # The first answer stands: it may be the mall's, which was on its way.
            no = isinstance(by, DecideSignal) and not by.approve
            answer = MallAnswer.VETOED if no else MallAnswer.AGREED
            who = by.operator or "an operator"
            answered = await self._change(RefundActivities.answer_refund, f"{answer} by {who}", by.operator, by.note, answer)
            late = "" if answered.answer is answer else f" It changed nothing: the mall had {answered.answer} before."
            self._note(f"{answer} in the mall's place by {who}: {by.note.rstrip('.') or 'no note'}.{late}")

    def _ask_no_more(self) -> None:
        self._may_ask = False
        if self._decided is not None:
            self._decided = None
            self._note(NOT_ASKED)

    async def _release(self) -> None:
        """After a yes the seat goes; after a no everything stays as it was."""
        released = await self._change(RefundActivities.release_refund, "free the seat")
        if released.answer is not MallAnswer.AGREED:
            no = released.note or "The mall said no."
            raise ApplicationError(no, type=WorkflowFailure.REFUND_REJECTED, non_retryable=True)

    async def _make_paid_again(self) -> None:
        """The compensation of a question that got a no, or was taken back."""
        if self._has_a_question():
            await self._change(RefundActivities.reject_refund, "make the order paid again")

    async def _tell_mall(self) -> None:
        if self._cancelled:
            self._refuse_cancel()
        events = list(self._booked.event_ids) if self._booked else []
        if self._refund is not None and self._refund.kind is RefundKind.UNPAID:
            events.append(event_id(EventType.ORDER_CANCELLED, self._refund.order_id))
        elif self._refund is not None and not self._refund.is_over:
            events.append(event_id(EventType.ORDER_REFUNDED, self._refund.order_id, self._refund.attempt))
        if events and self._closed is None:
            await self._deliver(events, "tell the mall")

    async def _finish(self) -> None:
        # An unpaid order is undone at once: only a person who told the mall elsewhere has something to add.
        is_unpaid = self._refund is not None and self._refund.kind is RefundKind.UNPAID
        if self._refund is not None and (not self._refund.is_over or (is_unpaid and self._closed is not None)):
            operator, note = (self._closed.operator or "an operator", self._closed.note) if self._closed else ("", "")
            await self._change(RefundActivities.finish_refund, "the mall knows", operator, note)
        if self._closed is not None:
            self._note(f"close_manually by {self._closed.operator or 'an operator'}: {self._closed.note or 'no note'}.")
        self._flag(needs_attention=False)

    # --- telling the mall ---

    async def _deliver(self, events: list[str], what: str) -> None:
        """Until the mall has taken these events, or an operator has said that it need not."""
        look_again: timedelta | None = None
        while True:
            under_way = start_delivery(events, summary=f"{what}: {self._asked.out_trade_no}")
            await self._until(lambda: under_way.done() or self._somebody_spoke())  # noqa: B023 - awaited within this turn
            if under_way.done() and not self._somebody_spoke():
                failure = under_way.exception()
                if failure is None and under_way.result().dead == 0:
                    if look_again is not None:
                        self._flag(needs_attention=False)
                    return
                if look_again is None:
                    await self._call_a_person(f"{what}: {failure or 'it did not take it'}.")
                look_again = min(2 * look_again, LOOK_AGAIN_LATEST) if look_again else LOOK_AGAIN_FIRST
                if not await self._somebody_speaks_within(look_again):
                    continue
            look_again = None
            under_way.cancel()
            if self._resend is None:
                return
            by, self._resend = self._resend.operator, None
            self._note(f"resend by {by or 'an operator'}.")
            if self._refund is not None:
                await self._change(RefundActivities.resume_refund, "tell the mall again", by)

    async def _call_a_person(self, why: str) -> None:
        self._note(f"{why} It waits for resend, close_manually{' or decide' if self._is_asking else ''}.")
        if self._refund is not None:
            await self._change(RefundActivities.flag_refund, "wait for an operator")
        self._flag(needs_attention=True)

    async def _somebody_speaks_within(self, moment: timedelta) -> bool:
        """Whether somebody did; the flag is taken back then."""
        # Who waited before this was looked at waits without a timer.
        within = moment if workflow.patched("look-again") else None
        try:
            await self._until(self._somebody_spoke, within)
        except TimeoutError:
            return False
        self._flag(needs_attention=False)
        return True

    def _somebody_spoke(self) -> bool:
        taken_back = self._is_asking and self._cancelled
        return taken_back or bool(self._resend or self._closed or self._decided)

    async def _until(self, so: Callable[[], bool], within: timedelta | None = None) -> None:
        waiting = workflow.wait_condition(so, timeout=within, timeout_summary="look again whether the mall was told")
        await to_its_end(waiting, self._note_cancel)

    def _note_cancel(self) -> None:
        self._cancelled = True
        if self._refund is not None and not self._has_a_question():
            self._refuse_cancel()

    def _refuse_cancel(self) -> None:
        self._note("cancel was refused: the mall must be told, or nobody returns the money.")
        self._flag(needs_attention=True)

    # --- the transactions ---

    async def _book(self, report: PaymentReport) -> SettledPayment:
        return await execute_local_first(
            SettlementActivities.settle_payment,
            SettlePayment(report=report, now=workflow.now()),
            local=True,
            summary=f"book {report.amount} for {report.out_trade_no}",
        )

    async def _open(self, asked: RefundRequest) -> RefundState:
        order = self._asked
        opened = await execute_local_first(
            RefundActivities.open_refund,
            OpenRefund(
                order_id=order_id(order.source, order.out_trade_no),
                out_trade_no=order.out_trade_no,
                attempt=order.attempt,
                reason=asked.reason,
                operator=asked.operator,
                force=asked.force,
                now=workflow.now(),
            ),
            local=True,
            summary=f"undo {order.out_trade_no}",
        )
        await self._take_over(opened)
        return opened

    async def _change(
        self,
        step: Step[ChangeRefund, RefundState],
        summary: str,
        operator: str = "",
        note: str = "",
        answer: MallAnswer | None = None,
    ) -> RefundState:
        """Moves the refund on; a cancel of the workflow does not interrupt it."""
        change = ChangeRefund(
            order_id=self._now.order_id,
            attempt=self._now.attempt,
            now=workflow.now(),
            operator=operator,
            note=note,
            answer=answer,
        )

        async def moved_on() -> RefundState:
            changed = await execute_local_first(step, change, local=True, summary=summary)
            await self._take_over(changed)
            return changed

        return await to_its_end(moved_on(), self._note_cancel)

    async def _take_over(self, state: RefundState) -> None:
        self._refund = state
        self._show()
        if not state.team_changed:
            return
        left = MemberLeft(out_trade_no=self._asked.out_trade_no, team_status=state.team_status)
        try:
            await workflow.get_external_workflow_handle(team_workflow_id(state.team_id)).signal(MEMBER_LEFT, left)
        except FailureError:
            self._note("The team's workflow has ended; its rows are what counts.")

    @property
    def _asked(self) -> RefundInput:
        assert self._order is not None  # noqa: S101 - run() has looked
        return self._order

    @property
    def _now(self) -> RefundState:
        assert self._refund is not None  # noqa: S101 - it is open in every step that asks
        return self._refund

    def _has_a_question(self) -> bool:
        return self._refund is not None and self._refund.asks and not self._refund.released and not self._refund.is_over

    # --- what operators see ---

    def _judge(self, expected: type[SignalT], payload: object, surplus: tuple[object, ...], name: str) -> SignalT | None:
        try:
            return parse_signal(expected, payload, surplus)
        except UnusablePayloadError as mistake:
            self._note(f"{name} changed nothing: {mistake}")
            return None

    def _note(self, text: str) -> None:
        self._notes = [*self._notes, f"{moment(workflow.now())}: {text}"][-LAST_NOTES:]
        self._show()

    def _flag(self, *, needs_attention: bool) -> None:
        if needs_attention is not self._is_flagged:
            self._is_flagged = needs_attention
            workflow.upsert_search_attributes([NEEDS_ATTENTION.value_set(needs_attention)])

    def _show(self) -> None:
        workflow.set_current_details(refund_details(self._order, self._refund, self._booked, self._notes))
        if self._refund is None:
            return
        shown = (self._refund.kind, self._refund.status)
        if self._shown is None:
            whose = [MALL.value_set(self._asked.source), OUT_TRADE_NO.value_set(self._asked.out_trade_no)]
            workflow.upsert_search_attributes([*whose, REFUND_KIND.value_set(shown[0]), REFUND_STATUS.value_set(shown[1])])
        elif shown != self._shown:
            workflow.upsert_search_attributes([REFUND_STATUS.value_set(shown[1])])
        self._shown = shown

    def _ending(self) -> str:
        if self._refund is not None:
            return f"{self._refund.kind}: {self._refund.status}"
        return f"payment {self._booked.outcome}" if self._booked else "nothing"

    def _is_defect(self, stopped: BaseException) -> bool:
        cause = failure_of(stopped)
        if cause is None or cause.type != WorkflowFailure.BROKEN_INVARIANT:
            return False
        self._note(f"a defect stopped it: {cause.message}")
        return True
