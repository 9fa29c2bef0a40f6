"""The steps that the refund saga is made of: its transactions, what it tells the mall, and what operators see of it."""

from datetime import timedelta
from typing import Any

from temporalio import workflow
from temporalio.exceptions import FailureError

with workflow.unsafe.imports_passed_through():
    from activities.interfaces import RefundActivities
    from domain.ids import order_id, team_workflow_id
    from domain.lifecycle import MallAnswer, RefundKind, RefundStatus
    from domain.messages.acts import Outcome
    from domain.messages.refunds import (
        ChangeRefund,
        DeclineAct,
        OpenRefund,
        RefundAction,
        RefundInput,
        RefundRequest,
        RefundState,
    )
    from domain.messages.teams import MemberLeft
    from workflows.activity_calls import Activity, application_error_of, execute_local_first, is_defect
    from workflows.deliveries import start_delivery
    from workflows.details import refund_details
    from workflows.markdown import quote
    from workflows.operator_inbox import OperatorInbox, OperatorMessage
    from workflows.operator_log import OperatorLog
    from workflows.operator_signals import UnusablePayloadError, parse_signal
    from workflows.saga import run_to_completion
    from workflows.search_attributes import MALL, OUT_TRADE_NO, REFUND_KIND, REFUND_STATUS

MEMBER_LEFT = "member_left"
# While it waits for a person: the callback may have been made due again by somebody who did not signal this workflow.
FIRST_CHECK, LATEST_CHECK = timedelta(minutes=1), timedelta(days=1)


class RefundSteps:
    def __init__(self, payload: Any, surplus: tuple[Any, ...]) -> None:  # noqa: ANN401 - an operator may have written it
        self._input: RefundInput | None = None
        self._unusable = ""
        try:
            self._input = parse_signal(RefundInput, payload, surplus)
        except UnusablePayloadError as exc:
            self._unusable = str(exc)
        self._refund: RefundState | None = None
        self._is_asking = False
        self._team_knows = False
        self._shown: tuple[RefundKind, RefundStatus] | None = None
        self._inbox = OperatorInbox(self._refuse_cancel_when_released)
        self._log = OperatorLog(lambda notes: refund_details(self._input, self._refund, notes))

    async def _open(self, request: RefundRequest) -> RefundState:
        order = self._order
        opened = await execute_local_first(
            RefundActivities.open_refund,
            OpenRefund(
                order_id=order_id(order.source, order.out_trade_no),
                out_trade_no=order.out_trade_no,
                attempt=order.attempt,
                reason=request.reason,
                act=request.act,
                force=request.force,
                requested_at=request.requested_at,
                now=workflow.now(),
            ),
            summary=f"undo {quote(order.out_trade_no)}",
        )
        await self._apply(opened)
        return opened

    async def _change(
        self,
        activity: Activity[ChangeRefund, RefundState],
        summary: str,
        message: OperatorMessage | None = None,
        answer: MallAnswer | None = None,
    ) -> RefundState:
        """Moves the refund on, where an operator wants it with the operator's act; a cancel does not interrupt it."""
        change = ChangeRefund(
            order_id=self._state.order_id,
            attempt=self._state.attempt,
            now=workflow.now(),
            action=message.action if message else None,
            act=message.act if message else None,
            answer=answer,
        )

        async def change_and_apply() -> RefundState:
            changed = await execute_local_first(activity, change, summary=summary)
            await self._apply(changed)
            return changed

        return await run_to_completion(change_and_apply(), self._inbox.record_cancel)

    async def _decline(self, message: OperatorMessage) -> Outcome:
        """Records that an operator's act changed nothing, and why."""
        decline = DeclineAct(
            order_id=order_id(self._order.source, self._order.out_trade_no),
            attempt=self._refund.attempt if self._refund else self._order.attempt,
            action=message.action,
            act=message.act,
            now=workflow.now(),
        )
        summary = f"{message.action} changes nothing"
        return await execute_local_first(RefundActivities.decline_refund_act, decline, summary=summary)

    async def _apply(self, state: RefundState) -> None:
        """Takes over what the rows say; the team's workflow hears of a member who left, also after a repeated transaction."""
        self._refund = state
        self._show()
        if not state.left_live_team or self._team_knows:
            return
        self._team_knows = True
        left = MemberLeft(out_trade_no=self._order.out_trade_no)
        try:
            await workflow.get_external_workflow_handle(team_workflow_id(state.team_id)).signal(MEMBER_LEFT, left)
        except FailureError:
            self._log.note("The team's workflow has ended; its rows are what counts.")

    @property
    def _order(self) -> RefundInput:
        assert self._input is not None  # noqa: S101 - run() has looked
        return self._input

    @property
    def _state(self) -> RefundState:
        assert self._refund is not None  # noqa: S101 - it is open in every step that asks
        return self._refund

    def _awaits_consent(self) -> bool:
        refund = self._refund
        return refund is not None and refund.needs_consent and not refund.released and not refund.is_over

    # --- telling the mall ---

    async def _deliver(self, event_ids: list[str], what: str) -> None:
        """Until the mall has taken these events, or an operator has said that it need not."""
        check_after: timedelta | None = None
        while True:
            delivery = start_delivery(event_ids, summary=f"{what}: {quote(self._order.out_trade_no)}")
            await self._inbox.wait(lambda: delivery.done() or self._operator_intervened())  # noqa: B023 - awaited in this turn
            if delivery.done() and not self._operator_intervened():
                exc = delivery.exception()
                if exc is None and delivery.result().dead == 0:
                    break
                if check_after is None:
                    await self._escalate_to_operator(f"{what}: {quote(exc) if exc else 'it did not take it'}.")
                check_after = min(2 * check_after, LATEST_CHECK) if check_after else FIRST_CHECK
                if not await self._inbox.wait(self._operator_intervened, check_after, "check whether the mall was told"):
                    continue
            check_after = None
            delivery.cancel()
            self._log.flag(needs_attention=False)
            if not await self._resend():
                return
        self._log.flag(needs_attention=False)

    async def _escalate_to_operator(self, reason: str) -> None:
        self._log.note(f"{reason} It waits for resend, close_manually{' or decide' if self._is_asking else ''}.")
        await self._change(RefundActivities.flag_refund, "wait for an operator")
        self._log.flag(needs_attention=True)

    async def _resend(self) -> bool:
        """Makes the callback due again where an operator wants that; returns whether one does."""
        message = self._inbox.take(RefundAction.RESEND)
        if message is None:
            return False
        state = await self._change(RefundActivities.resume_refund, "tell the mall again", message)
        message.end(state.outcome)
        return True

    def _operator_intervened(self) -> bool:
        is_taken_back = self._is_asking and self._inbox.cancelled
        return is_taken_back or self._inbox.has_message

    def _refuse_cancel_when_released(self) -> None:
        if self._refund is not None and not self._awaits_consent():
            self._log.note("cancel was refused: the mall must be told, or nobody returns the money.")
            self._log.flag(needs_attention=True)

    # --- what operators see ---

    def _show(self) -> None:
        self._log.show()
        if self._refund is None:
            return
        shown = (self._refund.kind, self._refund.status)
        if self._shown is None:
            whose = [MALL.value_set(self._order.source), OUT_TRADE_NO.value_set(self._order.out_trade_no)]
            workflow.upsert_search_attributes([*whose, REFUND_KIND.value_set(shown[0]), REFUND_STATUS.value_set(shown[1])])
        elif shown != self._shown:
            workflow.upsert_search_attributes([REFUND_STATUS.value_set(shown[1])])
        self._shown = shown

    def _flag_defect(self, exc: BaseException) -> None:
        cause = application_error_of(exc)
        if is_defect(exc) and cause is not None:
            self._log.note(f"a defect stopped it: {quote(cause.message)}")
        self._log.flag(needs_attention=is_defect(exc))
