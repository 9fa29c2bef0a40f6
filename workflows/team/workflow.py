"""The team saga: from a team's first seat to the end of its refund window.

PostgreSQL decides every seat, payment and conclusion, in one transaction each. This workflow orders them in time: it owns the
deadlines, has the mall told, and shows operators what is going on. What it knows of the rows is in `TeamState`.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

from temporalio import workflow
from temporalio.exceptions import ApplicationError, FailureError, is_cancelled_exception

with workflow.unsafe.imports_passed_through():
    from activities.interfaces import OrderActivities, RefundStartActivities
    from domain.errors import ErrorCode
    from domain.lifecycle import PaymentOutcome, TeamDecision, TeamStatus
    from domain.messages.base import WorkflowFailure
    from domain.messages.orders import (
        HeldSeat,
        LockSeat,
        PaymentReport,
        ReleaseOverdue,
        SeatRequest,
        SettledPayment,
        SettlePayment,
    )
    from domain.messages.refunds import RefundInput
    from domain.messages.teams import MemberLeft, RowsChanged
    from workflows.activity_calls import execute_with_retries, is_defect, refusal
    from workflows.markdown import quote
    from workflows.operator_signals import signal_act
    from workflows.task_queues import REFUNDS_QUEUE
    from workflows.team.operator_signals import TeamOperatorSignals
    from workflows.team.state import TeamInput, TeamState

FIRST_SEAT_WITHIN = timedelta(minutes=1)
CONCLUDE_AGAIN = timedelta(seconds=5)
FIRST_RETRY, LATEST_RETRY = timedelta(seconds=5), timedelta(minutes=5)

# Callers name the updates: the SDK types one that has a description as if its result were a coroutine.
LOCK, SETTLE = "lock", "settle"
ROWS_CHANGED = "rows_changed"


@workflow.defn
class TeamWorkflow(TeamOperatorSignals):
    @workflow.init
    def __init__(self, team: TeamInput) -> None:
        # A handler may run before run() does: all that it reads is made here.
        super().__init__(team)
        self._locking: set[str] = set()
        self._first_lock_ended = False
        self._retry_after: timedelta | None = None
        """how long the next pause after a defect is; None: the last steps met none"""

    @workflow.run
    async def run(self, team: TeamInput) -> str:  # noqa: ARG002 - __init__ has it
        await self._await_first_seat()
        while self._state.is_forming:
            async with self._cancel_closes_team(), self._defect_is_retried():
                await self._sleep_until_due()
                await self._read_changed_rows()
                await self._release_overdue_seats()
                await self._conclude_if_due()
            self._collect_finished_deliveries()
            self._continue_as_new_if_long()
        await self._await_refund_window()
        self._log.flag(needs_attention=False)  # a team that is over waits for nobody: its dead callbacks are in the rows
        return self._state.summary

    # --- what the mall asks for ---

    @workflow.update(name=LOCK, description="Hold a seat: opens the team or joins it. The mall's POST /v1/orders.")
    async def lock(self, request: SeatRequest) -> HeldSeat:
        # A second request for the same number waits for the first, and then finds its order.
        await workflow.wait_condition(lambda: self._has_read_rows and request.out_trade_no not in self._locking)
        self._locking.add(request.out_trade_no)
        try:
            lock = LockSeat(request=request, now=workflow.now())
            answer = await self._transaction(OrderActivities.lock_seat, lock, f"lock a seat for {quote(request.out_trade_no)}")
        finally:
            self._locking.discard(request.out_trade_no)
            self._first_lock_ended = True
        if answer.held is None:
            if answer.refused is None:
                raise refusal("The request is out of date.", WorkflowFailure.STALE_REQUEST)
            if answer.refused.code is ErrorCode.TEAM_CLOSED and self._is_open():
                self._state.must_read_rows = True
            raise refusal(answer.refused.detail, answer.refused.code)
        self._apply(answer.held)
        return answer.held

    @lock.validator
    def _may_be_locked(self, request: SeatRequest) -> None:
        if request.valid_until is not None and request.valid_until < workflow.now():
            # Its caller may have asked elsewhere. The transaction would refuse it, too, by the database's clock.
            raise refusal("The request is out of date.", WorkflowFailure.STALE_REQUEST)
        if not self._state.is_forming:
            raise refusal(f"The team is {self._state.status}.", WorkflowFailure.TEAM_OVER)

    @workflow.update(name=SETTLE, description="Book a payment that the mall has taken. The mall's POST /v1/orders/…/payment.")
    async def settle(self, report: PaymentReport) -> SettledPayment:
        await workflow.wait_condition(lambda: self._has_read_rows)
        payment = SettlePayment(report=report, now=workflow.now())
        summary = f"settle {report.amount} for {quote(report.out_trade_no)}"
        settled = await self._transaction(OrderActivities.settle_payment, payment, summary)
        self._apply_settlement(report.out_trade_no, settled)
        if settled.refund_attempt is not None:
            # Before the answer: a mall that is told that the money goes back can follow the refund.
            await execute_with_retries(
                RefundStartActivities.start_refund,
                RefundInput(source=report.source, out_trade_no=report.out_trade_no, attempt=settled.refund_attempt),
                summary=f"start the refund of {quote(report.out_trade_no)}",
                task_queue=REFUNDS_QUEUE,
            )
        return settled

    # --- hints that the rows have changed ---

    @workflow.signal(description="A refund's workflow says that a member has left.")
    def member_left(self, payload: Any = None, *surplus: Any) -> None:  # noqa: ANN401
        if self._log.parse(MemberLeft, payload, surplus, "member_left"):
            self._state.must_read_rows = True

    @workflow.signal(name=ROWS_CHANGED, description="The team's rows were changed by somebody else than this workflow.")
    def rows_changed(self, payload: Any = None, *surplus: Any) -> None:  # noqa: ANN401
        self._state.hint = self._log.parse(RowsChanged, payload, surplus, "rows_changed") or RowsChanged()
        self._state.must_read_rows = True

    @workflow.query(description="The team as its workflow sees it; the API reads the database instead.")
    def view(self) -> TeamState:
        return self._state

    # --- the steps of the saga ---

    async def _await_first_seat(self) -> None:
        """Waits for the opener's seat. Without one there is no team: it fails, so that its opener can try again."""
        if not self._has_read_rows:
            await self._take_over()

        def is_decided() -> bool:
            is_answered = self._first_lock_ended and workflow.all_handlers_finished()
            return self._state.has_seat or self._state.must_read_rows or is_answered

        while not self._state.has_seat:
            try:
                await workflow.wait_condition(is_decided, timeout=FIRST_SEAT_WITHIN, timeout_summary="the opener's seat")
            except (TimeoutError, asyncio.CancelledError):
                # A lock in flight may be committed already: its team must not be left alone.
                await workflow.wait_condition(workflow.all_handlers_finished)
            if self._state.has_seat:
                return
            # A lock that seemed to fail may be committed, too, or the opener was admitted directly.
            if not await self._take_over() and workflow.all_handlers_finished():
                raise ApplicationError("No first seat was taken.", type=WorkflowFailure.NO_FIRST_SEAT, non_retryable=True)

    async def _sleep_until_due(self) -> None:
        """Sleeps until an unpaid seat or the deadline is due, or something has changed.

        A lock restarts the timer only when its seat is due first, which it is when no other seat was unpaid. A delivery that
        ends does not wake it: it is looked at with the next event.
        """
        due, reason = self._state.next_due(workflow.now())

        def must_wake() -> bool:
            state = self._state
            return (
                not state.is_forming
                or state.must_read_rows
                or state.is_decidable(workflow.now())
                or state.next_due(workflow.now()).moment < due
                or self._is_long()
            )

        timeout = max(due - workflow.now(), timedelta(milliseconds=1))
        try:
            await workflow.wait_condition(must_wake, timeout=timeout, timeout_summary=reason)
        except TimeoutError:
            return

    async def _read_changed_rows(self) -> None:
        if self._state.must_read_rows:
            await self._gather_changes()
            await self._take_over()

    async def _release_overdue_seats(self) -> None:
        overdue = self._state.overdue(workflow.now())
        if overdue and self._state.is_forming:
            request = ReleaseOverdue(team_id=self._team.team_id, now=workflow.now(), out_trade_nos=overdue)
            summary = f"release {len(overdue)} unpaid seat(s)"
            released = await self._local_first(OrderActivities.release_overdue, request, summary)
            if released.team.status is TeamStatus.FAILED and await self._is_told_at_once(released.event_ids):
                released = released.model_copy(update={"event_ids": []})
            self._apply(released)

    async def _conclude_if_due(self) -> None:
        if self._is_decidable():
            await self._conclude(TeamDecision.DEADLINE)
        if self._is_decidable():
            # The rows have an unpaid seat that this view does not know of, and that may still be paid for.
            await self._take_over()
        if self._is_decidable():
            await workflow.sleep(CONCLUDE_AGAIN, summary="an unpaid seat may still be paid for")

    @asynccontextmanager
    async def _cancel_closes_team(self) -> AsyncIterator[None]:
        """A cancel of a forming team's workflow is `close`."""
        try:
            yield
        except (asyncio.CancelledError, FailureError) as exc:
            # A cancel that meets a running activity comes as that activity's failure.
            if not is_cancelled_exception(exc):
                raise
            act = signal_act("", "the workflow was cancelled")
            await self._as_signal("cancel", act, self._conclude_by_operator(TeamDecision.CLOSE, "cancel", act))

    @asynccontextmanager
    async def _defect_is_retried(self) -> AsyncIterator[None]:
        """A step that a defect stopped is repeated, ever more rarely: a person has to mend the rows, and then it goes on."""
        try:
            yield
        except FailureError as exc:
            if not is_defect(exc):
                raise
            pause = self._retry_after or FIRST_RETRY
            self._retry_after = min(pause * 2, LATEST_RETRY)
            await workflow.sleep(pause, summary="a defect stopped a step, which is repeated")
        else:
            if self._retry_after is not None:
                self._retry_after = None
                self._log.flag(needs_attention=False)

    async def _await_refund_window(self) -> None:
        """Waits for late payments, refunds and deliveries; ends when a last read of the rows finds nothing left to do."""
        while True:
            try:
                await self._sleep_until_news()
                self._collect_finished_deliveries()
                if self._state.must_read_rows or self._may_end():
                    if self._state.must_read_rows:
                        await self._gather_changes()
                    ends = self._may_end()
                    await self._take_over()
                    if ends and self._may_end() and not self._state.must_read_rows:
                        return
                self._continue_as_new_if_long()
            except (asyncio.CancelledError, FailureError) as exc:
                if not is_cancelled_exception(exc):
                    raise
                self._log.note("cancel changed nothing: the team has ended, and waits for late payments and refunds.")

    async def _sleep_until_news(self) -> None:
        def is_news() -> bool:
            return self._may_end() or self._state.must_read_rows or self._deliveries.any_finished or self._is_long()

        until = None if self._deliveries.are_under_way else self._state.refund_until
        timeout = until - workflow.now() if until is not None and until > workflow.now() else None
        try:
            await workflow.wait_condition(is_news, timeout=timeout, timeout_summary="end of the refund window")
        except TimeoutError:
            return

    def _may_end(self) -> bool:
        is_idle = not self._deliveries.are_under_way and workflow.all_handlers_finished()
        return self._state.is_window_over(workflow.now()) and is_idle

    def _is_long(self) -> bool:
        return workflow.info().is_continue_as_new_suggested() and workflow.all_handlers_finished()

    def _continue_as_new_if_long(self) -> None:
        """The next run reads the rows first: an answer of this one may be lost with the task that continues."""
        if self._is_long():
            state = self._state.model_copy(update={"seats": self._state.live_seats, "notes": self._log.notes})
            workflow.continue_as_new(self._team.model_copy(update={"state": state}))

    def _apply_settlement(self, out_trade_no: str, settled: SettledPayment) -> None:
        self._apply(settled)
        if settled.outcome is PaymentOutcome.REFUNDING:
            self._log.note(f"{quote(out_trade_no)} was paid, and its money is owed back: {settled.reason}.")
        elif settled.outcome is PaymentOutcome.RESEATED:
            self._log.note(f"{quote(out_trade_no)} was paid late, and got a free seat again.")

    def _is_decidable(self) -> bool:
        return self._state.is_forming and self._state.is_decidable(workflow.now())

    def _is_open(self) -> bool:
        return self._state.deadline is not None and workflow.now() < self._state.deadline
