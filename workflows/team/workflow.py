"""The team saga: from a team's first seat to the end of its refund window.

PostgreSQL decides every seat, payment and ending, in one transaction each. This workflow orders them in time: it owns the
deadlines, tells the mall, and shows operators what is going on. Its view of the seats is what its timer and its details need.
"""

import asyncio
from datetime import datetime, timedelta
from typing import Any

from temporalio import workflow
from temporalio.exceptions import ApplicationError, FailureError, is_cancelled_exception

with workflow.unsafe.imports_passed_through():
    from activities.callbacks.deliver import CallbackActivities
    from activities.refunds import RefundStartActivities
    from activities.seats import SeatActivities
    from activities.settlement import SettlementActivities
    from domain.lifecycle import OrderStatus, PaymentOutcome, TeamDecision, TeamStatus
    from domain.messages.base import WorkflowFailure
    from domain.messages.callbacks import Delivered, ReviveCallbacks
    from domain.messages.orders import (
        HeldSeat,
        LockSeat,
        OverdueSeats,
        PaymentReport,
        SeatRequest,
        SettledPayment,
        SettlePayment,
    )
    from domain.messages.refunds import RefundByOperator, RefundInput, StartTeamRefunds
    from domain.messages.signals import ExtendSignal, OperatorSignal, RefundSignal, ResendCallbacksSignal
    from domain.messages.teams import (
        ConcludedTeam,
        ConcludeTeam,
        ExtendTeam,
        MemberLeft,
        Seat,
        TeamInput,
        TeamView,
        Undelivered,
    )
    from workflows.activity_calls import (
        Answer,
        Argument,
        Step,
        execute_batched,
        execute_local_first,
        execute_with_retries,
        refusal,
        refusal_of,
        start_delivery,
    )
    from workflows.details import moment, team_details
    from workflows.operator_signals import SignalT, UnusablePayloadError, parse_signal
    from workflows.search_attributes import NEEDS_ATTENTION, TEAM_STATUS
    from workflows.task_queues import CALLBACKS_QUEUE, REFUNDS_QUEUE

FIRST_SEAT_WITHIN = timedelta(minutes=1)
LOOK_AGAIN = timedelta(seconds=5)
LAST_NOTES = 5
# The protocol from which on a team starts the refunds that it causes, and leaves the first try of a completion to its worker.
STARTS_REFUNDS = LEAVES_FIRST_TRY = 2

# Callers name the updates: the SDK types one that has a description as if its result were a coroutine.
LOCK, SETTLE = "lock", "settle"


@workflow.defn
class TeamWorkflow:
    @workflow.init
    def __init__(self, team: TeamInput) -> None:
        # A handler may run before run() does: all that it reads is made here.
        self._team = team
        self._status = TeamStatus.FORMING
        self._deadline: datetime | None = None
        """None until the first seat is held"""
        self._payment_grace = 0
        self._refund_window = 0
        self._refund_until: datetime | None = None
        self._seats: dict[str, Seat] = {}
        self._locking: set[str] = set()
        self._first_seat_refused = False
        self._told: set[str] = set()
        self._told_elsewhere: list[str] = []
        """events whose first try was not this workflow's: before it ends it makes sure of them"""
        self._callbacks: list[tuple[list[str], workflow.ActivityHandle[Delivered]]] = []
        self._notes: list[str] = []
        if team.view is not None:
            self._resume(team.view)

    @workflow.run
    async def run(self, team: TeamInput) -> str:
        await self._hold_first_seat()
        if team.view is not None:
            self._tell(team.view.undelivered, "the mall, again")
        while self._status is TeamStatus.FORMING:
            try:
                await self._next_moment()
                await self._give_up_overdue_seats()
                await self._decide_at_deadline()
                self._look_at_callbacks()
                self._continue_as_new_when_long()
            except (asyncio.CancelledError, FailureError) as stopped:
                # A cancel that meets a running activity comes as that activity's failure.
                if not is_cancelled_exception(stopped):
                    raise
                await self._end_by_operator(TeamDecision.CLOSE, "cancel", OperatorSignal(reason="the workflow was cancelled"))
        while not self._is_over():
            try:
                if self._window_is_over():
                    self._tell(self._unsure(), "the mall, to be sure")
                await self._until_news()
                self._look_at_callbacks()
                self._continue_as_new_when_long()
            except asyncio.CancelledError:
                self._note("cancel changed nothing: the team has ended, and waits for late payments and refunds.")
        await workflow.wait_condition(workflow.all_handlers_finished)
        # Nobody waits for a team that is over; its dead callbacks are in the rows. Teams of before kept the flag.
        if workflow.info().typed_search_attributes.get(NEEDS_ATTENTION) and workflow.patched("unflag"):
            workflow.upsert_search_attributes([NEEDS_ATTENTION.value_set(False)])
        return f"{self._status}, {self._paid()} paid"

    # --- what the mall asks for ---

    @workflow.update(name=LOCK, description="Hold a seat: opens the team or joins it. The mall's POST /v1/orders.")
    async def lock(self, request: SeatRequest) -> HeldSeat:
        """Returns the seat; `repeated` says that its order existed before this request."""
        # A second request for the same number waits for the first, and then finds its order.
        while request.out_trade_no in self._locking:
            await workflow.wait_condition(lambda: request.out_trade_no not in self._locking)
        self._locking.add(request.out_trade_no)
        try:
            answer = await self._transaction(
                SeatActivities.lock_seat,
                LockSeat(request=request, now=workflow.now()),
                f"lock a seat for {request.user_id}",
            )
        finally:
            self._locking.discard(request.out_trade_no)
        if answer.refused is not None:
            self._first_seat_refused = self._deadline is None
            raise refusal(answer.refused.detail, answer.refused.code)
        assert answer.seat is not None  # noqa: S101 - an answer is one or the other
        self._hold(answer.seat)
        return answer.seat

    @lock.validator
    def _team_is_not_over(self, request: SeatRequest) -> None:  # noqa: ARG002 - a validator takes what its update takes
        if self._status is not TeamStatus.FORMING:
            raise refusal(f"The team is {self._status}.", WorkflowFailure.TEAM_OVER)

    @workflow.update(name=SETTLE, description="Book a payment that the mall has taken. The mall's POST /v1/orders/…/payment.")
    async def settle(self, report: PaymentReport) -> SettledPayment:
        settled = await self._transaction(
            SettlementActivities.settle_payment,
            SettlePayment(report=report, now=workflow.now(), tells_mall=self._team.protocol >= LEAVES_FIRST_TRY),
            f"settle {report.amount} for {report.out_trade_no}",
        )
        self._book(report.out_trade_no, settled)
        if settled.refund_attempt is not None and self._team.protocol >= STARTS_REFUNDS:
            # Before the answer: whoever is told that the money goes back can look at its way.
            await execute_with_retries(
                RefundStartActivities.start_refund,
                RefundInput(source=report.source, out_trade_no=report.out_trade_no, attempt=settled.refund_attempt),
                summary=f"start the refund of {report.out_trade_no}",
                task_queue=REFUNDS_QUEUE,
            )
        return settled

    # --- what operators ask for: any JSON is accepted, and judged here ---

    @workflow.signal(description='Give the team more time: {"minutes": 60, "operator": "you"}')
    async def extend(self, payload: Any = None, *surplus: Any) -> None:  # noqa: ANN401
        asked = self._judge(ExtendSignal, payload, surplus, "extend")
        if asked is None:
            return
        if self._deadline is None or self._status is not TeamStatus.FORMING:
            self._note(f"extend changed nothing: the team is {self._status}.")
            return
        later = ExtendTeam(team_id=self._team.team_id, deadline=self._deadline + timedelta(minutes=asked.minutes))
        extended = await execute_with_retries(SettlementActivities.extend_team, later, summary=f"extend by {asked.minutes} min")
        self._deadline = extended.deadline
        self._note(f"extend by {asked.minutes} min by {asked.operator or 'an operator'}: {moment(extended.deadline)}.")

    @workflow.signal(description='Complete the team with who has paid: {"operator": "you", "reason": "why"}')
    async def complete(self, payload: Any = None, *surplus: Any) -> None:  # noqa: ANN401
        asked = self._judge(OperatorSignal, payload, surplus, "complete")
        if asked is not None:
            await self._end_by_operator(TeamDecision.COMPLETE, "complete", asked)

    @workflow.signal(description='Fail the team now; who has paid gets the money back: {"operator": "you", "reason": "why"}')
    async def close(self, payload: Any = None, *surplus: Any) -> None:  # noqa: ANN401
        asked = self._judge(OperatorSignal, payload, surplus, "close")
        if asked is not None:
            await self._end_by_operator(TeamDecision.CLOSE, "close", asked)

    @workflow.signal(description='Undo a member\'s order: {"out_trade_no": "T1", "reason": "why", "operator": "you"}')
    async def refund(self, payload: Any = None, *surplus: Any) -> None:  # noqa: ANN401
        asked = self._judge(RefundSignal, payload, surplus, "refund")
        if asked is None:
            return
        wish = RefundByOperator(
            team_id=self._team.team_id,
            out_trade_no=asked.out_trade_no,
            reason=asked.reason,
            operator=asked.operator,
            now=workflow.now(),
        )
        number, who = asked.out_trade_no, asked.operator or "an operator"
        summary = f"start a refund of {number}"
        found = await execute_with_retries(
            RefundStartActivities.start_wished_refund, wish, summary=summary, task_queue=REFUNDS_QUEUE
        )
        self._note(f"refund of {number} by {who}: {found}.")

    @workflow.signal(description='Send again what was given up of this team\'s events: {"operator": "you"}')
    async def resend_callbacks(self, payload: Any = None, *surplus: Any) -> None:  # noqa: ANN401
        asked = self._judge(ResendCallbacksSignal, payload, surplus, "resend_callbacks")
        if asked is None:
            return
        revive = ReviveCallbacks(team_id=self._team.team_id, now=workflow.now())
        summary = "make dead callbacks due again"
        revived = await execute_with_retries(
            CallbackActivities.revive_callbacks, revive, summary=summary, task_queue=CALLBACKS_QUEUE
        )
        count, who = len(revived.event_ids), asked.operator or "an operator"
        self._note(f"resend_callbacks by {who}: {f'{count} event(s) are sent again' if count else 'nothing was given up'}.")
        self._start_delivery(revived.event_ids, "the mall, once more")

    @workflow.signal(description="A refund's workflow says that a member has left; the rows say so already.")
    def member_left(self, payload: Any = None, *surplus: Any) -> None:  # noqa: ANN401
        left = self._judge(MemberLeft, payload, surplus, "member_left")
        if left is not None and self._deadline is not None:
            self._seats.pop(left.out_trade_no, None)
            self._see(left.team_status or self._status)

    @workflow.signal(description="A worker says that the mall did not take these events; the team goes on with them.")
    def undelivered(self, payload: Any = None, *surplus: Any) -> None:  # noqa: ANN401
        left = self._judge(Undelivered, payload, surplus, "undelivered")
        if left is not None:
            self._tell(left.event_ids, "the mall, again")

    @workflow.query(description="The team as its workflow sees it; the API reads the database instead.")
    def view(self) -> TeamView | None:
        if self._deadline is None:
            return None
        return TeamView(
            status=self._status,
            deadline=self._deadline,
            payment_grace=self._payment_grace,
            refund_window=self._refund_window,
            refund_until=self._refund_until,
            seats=self._seats,
            undelivered=[event_id for news, _ in self._callbacks for event_id in news],
            told_elsewhere=self._unsure(),
            notes=self._notes,
        )

    # --- the steps of the saga ---

    async def _hold_first_seat(self) -> None:
        """Waits for the opener's seat. Without one there is no team: it fails, so that its opener can try again."""

        def decided() -> bool:
            return self._deadline is not None or (self._first_seat_refused and workflow.all_handlers_finished())

        try:
            await workflow.wait_condition(decided, timeout=FIRST_SEAT_WITHIN, timeout_summary="the opener's seat")
        except (TimeoutError, asyncio.CancelledError):
            # A lock in flight may be committed already: its team must not be left alone.
            await workflow.wait_condition(workflow.all_handlers_finished)
        if self._deadline is None:
            raise ApplicationError("No first seat was taken.", type=WorkflowFailure.NO_FIRST_SEAT, non_retryable=True)

    async def _next_moment(self) -> None:
        """Sleeps until an unpaid seat or the deadline is due.

        A lock restarts the timer only when its seat is due first, which it is when no other seat was unpaid.
        """
        due, why = self._due()
        try:
            await workflow.wait_condition(
                lambda: (
                    self._status is not TeamStatus.FORMING or self._is_decidable() or self._is_long() or self._due()[0] < due
                ),
                timeout=max(due - workflow.now(), timedelta(milliseconds=1)),
                timeout_summary=why,
            )
        except TimeoutError:
            return

    async def _give_up_overdue_seats(self) -> None:
        now = workflow.now()
        overdue = [number for number, seat in self._unpaid().items() if seat.keep_until <= now]
        if not overdue:
            return
        released = await execute_with_retries(
            SeatActivities.release_overdue_seats,
            OverdueSeats(team_id=self._team.team_id, now=now, out_trade_nos=overdue),
            summary=f"give up {len(overdue)} unpaid seat(s)",
        )
        self._end_unpaid(released.cancelled)
        self._see(released.team_status)
        self._tell(released.event_ids, "the mall of unpaid seats")

    async def _decide_at_deadline(self) -> None:
        if self._is_decidable():
            concluded = await self._conclude(TeamDecision.DEADLINE)
            if concluded.team_status is TeamStatus.FORMING:
                # A seat that this view has not heard of yet may still be paid for.
                await workflow.sleep(LOOK_AGAIN, summary="an unpaid seat may still be paid for")

    async def _conclude(self, ending: TeamDecision) -> ConcludedTeam:
        concluded = await execute_with_retries(
            SettlementActivities.conclude_team,
            ConcludeTeam(team_id=self._team.team_id, ending=ending, now=workflow.now()),
            summary=f"end the team: {ending}",
        )
        self._see(concluded.team_status, concluded.completed_at)
        self._end_unpaid(concluded.cancelled)
        self._tell(concluded.event_ids, f"the mall: team {concluded.team_status}")
        if concluded.owed:
            self._note(f"Owed back to {len(concluded.owed)} paid member(s): {', '.join(concluded.owed[:10])}.")
            if self._team.protocol >= STARTS_REFUNDS:
                await execute_batched(
                    RefundStartActivities.start_team_refunds,
                    StartTeamRefunds(team_id=self._team.team_id),
                    summary=f"start {len(concluded.owed)} refund(s)",
                    task_queue=REFUNDS_QUEUE,
                )
        return concluded

    async def _end_by_operator(self, ending: TeamDecision, name: str, asked: OperatorSignal) -> None:
        if self._deadline is None:
            self._note(f"{name} changed nothing: the team has no seat yet.")
            return
        concluded = await self._conclude(ending)
        self._note(f"{name} by {asked.operator or 'an operator'} ({asked.reason or 'no reason given'}): {concluded.detail}")

    def _tell(self, event_ids: list[str], whom: str) -> None:
        """Starts the delivery of events. It retries for days; nothing waits for it but the end of this workflow."""
        news = [event_id for event_id in event_ids if event_id not in self._told]
        self._told.update(news)
        self._start_delivery(news, whom)

    def _start_delivery(self, event_ids: list[str], whom: str) -> None:
        if event_ids:
            self._callbacks.append((event_ids, start_delivery(event_ids, summary=f"tell {whom}")))

    def _look_at_callbacks(self) -> None:
        """Takes note of the deliveries that have ended; a dead callback waits for a person."""
        for news, told in [callback for callback in self._callbacks if callback[1].done()]:
            self._callbacks.remove((news, told))
            failure = told.exception()
            dead = len(news) if failure else told.result().dead
            if dead:
                workflow.upsert_search_attributes([NEEDS_ATTENTION.value_set(True)])
                self._note(f"{dead} callback(s) could not be delivered: {failure or 'given up'}.")

    async def _until_news(self) -> None:
        """Waits for a delivery to end; where none is under way, for the end of the refund window."""

        def is_news() -> bool:
            return self._is_over() or self._is_long() or any(told.done() for _, told in self._callbacks) or is_to_make_sure()

        def is_to_make_sure() -> bool:
            return self._window_is_over() and bool(self._unsure())

        window = None if self._callbacks or self._refund_until is None else self._refund_until - workflow.now()
        try:
            await workflow.wait_condition(is_news, timeout=window, timeout_summary="end of the refund window")
        except TimeoutError:
            return

    def _is_over(self) -> bool:
        return self._window_is_over() and not self._callbacks and not self._unsure()

    def _window_is_over(self) -> bool:
        return self._refund_until is None or workflow.now() >= self._refund_until

    def _unsure(self) -> list[str]:
        """Events whose first try was elsewhere, and of which nobody has said since whether it was enough."""
        return [event_id for event_id in self._told_elsewhere if event_id not in self._told]

    def _is_long(self) -> bool:
        return workflow.info().is_continue_as_new_suggested() and workflow.all_handlers_finished()

    def _continue_as_new_when_long(self) -> None:
        if self._is_long():
            workflow.continue_as_new(self._team.model_copy(update={"view": self.view()}))

    # --- the view ---

    async def _transaction(self, step: Step[Argument, Answer], argument: Argument, summary: str) -> Answer:
        try:
            return await execute_local_first(step, argument, local=self._team.local_activities, summary=summary)
        except FailureError as failure:
            refused = refusal_of(failure)
            if refused.type == WorkflowFailure.BROKEN_INVARIANT:
                workflow.upsert_search_attributes([NEEDS_ATTENTION.value_set(True)])
                self._note(f"a defect stopped this step: {summary}: {refused.message}")
            raise refused from failure

    def _hold(self, seat: HeldSeat) -> None:
        self._deadline = seat.deadline
        self._payment_grace = seat.payment_grace
        self._refund_window = seat.refund_window
        self._seats[seat.out_trade_no] = Seat(user_id=seat.user_id, status=seat.status, keep_until=seat.keep_until)
        self._see(seat.team_status)

    def _book(self, out_trade_no: str, settled: SettledPayment) -> None:
        if settled.outcome is PaymentOutcome.REFUNDING:
            self._seats.pop(out_trade_no, None)
            self._note(f"{out_trade_no} was paid, and its money is owed back: {settled.reason}.")
        elif settled.outcome is PaymentOutcome.RESEATED:
            self._seats[out_trade_no] = Seat(user_id=settled.user_id, status=settled.order_status, keep_until=workflow.now())
            self._note(f"{out_trade_no} was paid late, and got a free seat again.")
        elif out_trade_no in self._seats:
            self._seats[out_trade_no] = self._seats[out_trade_no].model_copy(update={"status": settled.order_status})
        self._see(settled.team_status, settled.completed_at)
        if self._team.protocol < LEAVES_FIRST_TRY:
            self._tell(settled.event_ids, f"the mall: team {settled.team_status}")
        else:
            self._told_elsewhere += [event_id for event_id in settled.event_ids if event_id not in self._told_elsewhere]

    def _end_unpaid(self, out_trade_nos: list[str]) -> None:
        for out_trade_no in out_trade_nos:
            self._seats.pop(out_trade_no, None)

    def _see(self, status: TeamStatus, completed_at: datetime | None = None) -> None:
        """Takes over what the team's rows say."""
        if status is not self._status:
            self._status = status
            workflow.upsert_search_attributes([TEAM_STATUS.value_set(status)])
        if status is TeamStatus.FAILED:
            self._refund_until = None
        elif completed_at is not None:
            self._refund_until = completed_at + timedelta(seconds=self._refund_window)
        self._show()

    def _judge(self, expected: type[SignalT], payload: object, surplus: tuple[object, ...], name: str) -> SignalT | None:
        """What somebody asks for; None, and a note, when it cannot be used."""
        try:
            return parse_signal(expected, payload, surplus)
        except UnusablePayloadError as mistake:
            self._note(f"{name} changed nothing: {mistake}")
            return None

    def _note(self, text: str) -> None:
        self._notes = [*self._notes, f"{moment(workflow.now())}: {text}"][-LAST_NOTES:]
        self._show()

    def _show(self) -> None:
        details = team_details(
            status=self._status,
            target_count=self._team.target_count,
            next_step=self._next_step(),
            seats=self._seats,
            notes=self._notes,
        )
        workflow.set_current_details(details)

    def _next_step(self) -> str:
        if self._status is TeamStatus.FORMING and self._deadline is not None:
            return f"It takes buyers until {moment(self._deadline)}."
        if self._refund_until is not None:
            return f"Refunds are possible until {moment(self._refund_until)}."
        return ""

    def _unpaid(self) -> dict[str, Seat]:
        return {number: seat for number, seat in self._seats.items() if seat.status is OrderStatus.LOCKED}

    def _paid(self) -> int:
        return sum(seat.status is OrderStatus.PAID for seat in self._seats.values())

    def _is_decidable(self) -> bool:
        return self._deadline is not None and workflow.now() >= self._deadline and not self._unpaid()

    def _due(self) -> tuple[datetime, str]:
        """When something is due next, and what."""
        moments = [(seat.keep_until, f"payment of {number}") for number, seat in self._unpaid().items()]
        if self._deadline is not None and workflow.now() < self._deadline:
            moments.append((self._deadline, "deadline of the team"))
        return min(moments, default=(workflow.now(), "now"))

    def _resume(self, view: TeamView) -> None:
        self._status = view.status
        self._deadline = view.deadline
        self._payment_grace = view.payment_grace
        self._refund_window = view.refund_window
        self._refund_until = view.refund_until
        self._seats = dict(view.seats)
        self._told_elsewhere = list(view.told_elsewhere)
        self._notes = list(view.notes)
        self._show()
