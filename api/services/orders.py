"""Locks seats and books payments: through the workflows of their teams, or directly (api/services/admission.py).

Idempotency is the database's: a request whose order exists is answered from its row, before an update and again after a
refusal, because a concurrent request with the same number may have been faster.
"""

import math
import secrets
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from typing import Any, TypeVar

from prometheus_client import Counter
from temporalio.client import Client, WithStartWorkflowOperation, WorkflowHandle

from api.http.temporal_errors import WorkflowGoneError, retrieve_start_failure, time_limit, translate_update_errors
from api.runtime.keyed_limit import KeyedLimit
from api.runtime.turns import Turn, Turns
from api.services.admission import TradeAdmission
from api.services.callbacks import callback_address
from db.campaigns.offers import read_quote_context
from db.core.connection import Database, connection
from db.orders.queries import (
    OrderLookup,
    OrderRecord,
    PayableOrder,
    look_up_order,
    read_order,
    read_order_and_team,
    read_payable_order,
)
from db.orders.settle import record_other_amount
from db.settings.keys import MallAccess
from db.teams.queries import read_team_facts
from domain.eligibility import SeatIntent, require_all, require_terms
from domain.errors import ErrorCode, GroupBuyError, NotDirectError, Refusal
from domain.ids import team_id, team_workflow_id
from domain.lifecycle import TeamStatus, other_amount_refusal
from domain.limits import may_lock_another, unpaid_seats_allowed
from domain.messages.callbacks import CallbackFormat
from domain.messages.orders import HeldSeat, PaymentReport, SeatRequest, SettledPayment
from domain.messages.payments import PaymentInput
from domain.messages.teams import TeamFacts
from domain.schemas.orders import NewOrder, Order, Payment, Settlement
from domain.seats import OrderContent, is_joinable, require_same_content
from settings import Settings
from workflows.payment import BOOK, PaymentWorkflow
from workflows.starters import payment_options, team_opening, team_start
from workflows.team.workflow import LOCK, SETTLE, TeamWorkflow

LOCKS = Counter("groupbuy_locks", "Locks that were answered with an order", ["answer"])
PAYMENTS = Counter("groupbuy_payments", "Payments by what they led to", ["outcome", "reason", "answer"])

REPEATED = "repeated"
"""another request had the same effect before"""

AnswerT = TypeVar("AnswerT")


class OrderService:
    def __init__(self, database: Database, client: Client, admission: TradeAdmission, turns: Turns, settings: Settings) -> None:
        self._database = database
        self._client = client
        self._admission = admission
        self._turns = turns
        self._settings = settings
        # One lock per buyer at a time, so that each sees the seat that the previous one took.
        self._buyers = KeyedLimit[tuple[str, str]](1)
        # Temporal refuses an update beyond a workflow's limit of updates in flight, and aborts those that are.
        self._teams = KeyedLimit[str](settings.updates_per_team)

    async def lock(self, mall: MallAccess, new: NewOrder, callback_format: CallbackFormat = "standard") -> tuple[Order, bool]:
        """Holds a seat, opening a team where none is named; returns the order, and whether another request had taken it.

        Raises:
            Refusal: a rule refuses the seat.
            Unavailable: the outcome is unknown.
        """
        order, is_repeat = await self._hold(_seat_request(mall, new, callback_format))
        LOCKS.labels(REPEATED if is_repeat else "taken").inc()
        return order, is_repeat

    async def pay(self, mall: MallAccess, out_trade_no: str, payment: Payment) -> tuple[Settlement, bool]:
        """Books a payment; returns its outcome, and whether another request had reported it.

        Raises:
            Refusal: order_not_found; out_trade_no_reused when another amount was reported before.
            Unavailable: the outcome is unknown.
        """
        async with self._time_limit(), self._turns.take(Turn.PAYMENT):
            order = await self._read_payable(mall, out_trade_no, payment)
            is_replay = order.paid_amount is not None or await self._settle(mall, out_trade_no, order, payment)
            record, team = await read_order_and_team(self._database, mall.source, out_trade_no)
        if record.payment_outcome is None:
            raise GroupBuyError(ErrorCode.INTERNAL_ERROR, "A payment was confirmed that has no outcome.")
        outcome, reason = record.payment_outcome, record.payment_reason
        PAYMENTS.labels(outcome, reason or "", REPEATED if is_replay else "booked").inc()
        return Settlement(outcome=outcome, reason=reason, order=record.order, team=team), is_replay

    def _time_limit(self) -> AbstractAsyncContextManager[None]:
        """The wait for a turn is a part of the time for an answer."""
        return time_limit(self._settings.answer_within - self._turns.waited())

    # --- locks ---

    async def _hold(self, request: SeatRequest) -> tuple[Order, bool]:
        joined = "" if request.opens_team else request.team_id
        async with self._time_limit(), self._turns.take(Turn.LOCK, joined):
            found = await self._look_up(request)
            if found.record is None:
                async with self._buyers.slot((request.source, request.user_id)) as has_waited:
                    if has_waited:
                        found = await self._look_up(request)
                    if found.record is None:
                        _require_few_unpaid(found, request)
                        return await self._take_seat(request, found)
        return _same_order(found.record, request), True

    async def _look_up(self, request: SeatRequest) -> OrderLookup:
        return await look_up_order(self._database, request, datetime.now(UTC))

    async def _take_seat(self, request: SeatRequest, found: OrderLookup) -> tuple[Order, bool]:
        if not request.opens_team:
            _require_joinable(found, request)
        orchestrate = self._open_team if request.opens_team else self._join_team
        try:
            seat, record = await self._admission.lock(request, orchestrate, found)
        except Refusal:
            record = await read_order(self._database, request.source, request.out_trade_no)
            if record is None:
                raise
            return _same_order(record, request), True
        record = record or await read_order(self._database, request.source, request.out_trade_no)
        if record is None:
            raise GroupBuyError(ErrorCode.INTERNAL_ERROR, "A seat was confirmed that has no order.")
        return record.order, seat.admitted_by != request.request_id

    async def _open_team(self, request: SeatRequest) -> HeldSeat:
        async with connection(self._database) as conn:
            context = await read_quote_context(conn, request.source, request, datetime.now(UTC), SeatIntent.OPEN)
        require_all(context.facts)
        offer = context.offer
        team = TeamFacts(
            team_id=request.team_id,
            source=request.source,
            campaign_id=offer.campaign_id,
            goods_id=offer.goods_id,
            goods_name=offer.goods_name,
            target_count=offer.target_count,
        )
        start = team_opening(team, local_activities=self._settings.local_activities)
        return await self._update_with_start(LOCK, request, start, HeldSeat)

    async def _join_team(self, request: SeatRequest) -> HeldSeat:
        async with self._teams.slot(request.team_id) as has_waited:
            if has_waited:  # an update is dear: what others have made impossible meanwhile is refused by the rows
                again = await self._look_up(request)
                if again.record is None:
                    _require_joinable(again, request)
            return await self._update_team(request.team_id, LOCK, request, HeldSeat)

    # --- payments ---

    async def _read_payable(self, mall: MallAccess, out_trade_no: str, payment: Payment) -> PayableOrder:
        """Returns the order that a payment is for.

        Raises:
            Refusal: order_not_found; out_trade_no_reused for another amount than was reported first, which is recorded.
        """
        order = await read_payable_order(self._database, mall.source, out_trade_no)
        if order is None:
            raise Refusal(ErrorCode.ORDER_NOT_FOUND, f"There is no order {out_trade_no}.")
        if order.paid_amount is not None and order.paid_amount != payment.amount:
            await record_other_amount(self._database, order.order_id, payment, datetime.now(UTC))
            raise other_amount_refusal(out_trade_no, order.paid_amount, payment.amount)
        return order

    async def _settle(self, mall: MallAccess, out_trade_no: str, order: PayableOrder, payment: Payment) -> bool:
        """Returns whether another request had reported the payment."""
        report = PaymentReport(
            source=mall.source,
            out_trade_no=out_trade_no,
            order_id=order.order_id,
            team_id=order.team_id,
            amount=payment.amount,
            paid_at=payment.paid_at,
            request_id=secrets.token_hex(16),
        )
        try:
            settled = await self._admission.settle(report, self._settle_in_team)
        except (NotDirectError, WorkflowGoneError):
            # A payment is a fact: it is booked whatever has become of its team, and of the team's workflow.
            settled = await self._settle_somewhere(report)
        return settled.admitted_by != report.request_id

    async def _settle_in_team(self, report: PaymentReport) -> SettledPayment:
        async with self._teams.slot(report.team_id):
            return await self._update_team(report.team_id, SETTLE, report, SettledPayment)

    async def _settle_somewhere(self, report: PaymentReport) -> SettledPayment:
        """Books a payment in its team's workflow; where that is closed and the team over, in a workflow of its own."""
        self._admission.require_engine(Turn.PAYMENT)
        try:
            return await self._settle_in_team(report)
        except WorkflowGoneError:
            pass
        facts = await read_team_facts(self._database, [report.team_id])
        team, status = facts[report.team_id]
        if status is TeamStatus.FORMING:
            start = team_start(team, status, local_activities=self._settings.local_activities)
            return await self._update_with_start(SETTLE, report, start, SettledPayment)
        payment = PaymentInput(source=report.source, out_trade_no=report.out_trade_no, team_id=report.team_id)
        alone = WithStartWorkflowOperation(PaymentWorkflow.run, payment, **payment_options(payment))
        return await self._update_with_start(BOOK, report, alone, SettledPayment)

    # --- workflows ---

    async def _update_team(
        self, team_id: str, update: str, request: SeatRequest | PaymentReport, answer_type: type[AnswerT]
    ) -> AnswerT:
        team: WorkflowHandle[TeamWorkflow, str] = self._client.get_workflow_handle_for(
            TeamWorkflow.run, team_workflow_id(team_id)
        )
        async with translate_update_errors():
            answer: AnswerT = await team.execute_update(
                update, request, id=_update_id(update, request), result_type=answer_type
            )
        return answer

    async def _update_with_start(
        self,
        update: str,
        request: SeatRequest | PaymentReport,
        start: WithStartWorkflowOperation[Any, Any],
        answer_type: type[AnswerT],
    ) -> AnswerT:
        async with translate_update_errors(), retrieve_start_failure(start):
            answer: AnswerT = await self._client.execute_update_with_start_workflow(
                update, request, start_workflow_operation=start, id=_update_id(update, request), result_type=answer_type
            )
        return answer


def _seat_request(mall: MallAccess, new: NewOrder, callback_format: CallbackFormat) -> SeatRequest:
    return SeatRequest(
        source=mall.source,
        out_trade_no=new.out_trade_no,
        user_id=new.user_id,
        goods_id=new.goods_id,
        channel=new.channel,
        campaign_id=new.campaign_id,
        team_id=new.team_id or team_id(mall.source, new.out_trade_no),
        opens_team=new.team_id is None,
        callback=callback_address(mall, new.callback, callback_format),
        request_id=secrets.token_hex(16),
    )


def _same_order(record: OrderRecord, request: SeatRequest) -> Order:
    """Returns the existing order, which answers a repeated request.

    Raises:
        Refusal: out_trade_no_reused, when its request had other content.
    """
    order = record.order
    requested = OrderContent(request.user_id, request.goods_id, request.channel, request.opens_team, request.team_id)
    existing = OrderContent(order.user_id, order.goods_id, order.channel, record.opened_team, order.team_id)
    require_same_content(order.out_trade_no, requested, existing)
    return order


def _require_joinable(found: OrderLookup, request: SeatRequest) -> None:
    """Refuses what the team's rows already rule out, before its workflow is asked; the transaction decides the rest."""
    team = found.team
    if team is None:
        raise Refusal(ErrorCode.TEAM_NOT_FOUND, f"There is no team {request.team_id}.")
    if not is_joinable(team.status, team.deadline, team.facts.now):
        raise Refusal(ErrorCode.TEAM_CLOSED, f"Team {request.team_id} can no longer be joined.")
    require_terms(team.facts)
    if found.seated:
        raise Refusal(ErrorCode.ALREADY_IN_TEAM, f"{request.user_id} already has a seat in this team.")
    if found.full:
        raise Refusal(ErrorCode.TEAM_FULL, f"Team {request.team_id} has no free seat.")


def _require_few_unpaid(found: OrderLookup, request: SeatRequest) -> None:
    """Slows down buyers who lock and do not pay. Not a quota: several API processes may each let one lock through."""
    if may_lock_another(found.unpaid, found.lapsed):
        return
    seconds = (found.unpaid_until - datetime.now(UTC)).total_seconds() if found.unpaid_until else 0
    raise Refusal(
        ErrorCode.RATE_LIMITED,
        f"{request.user_id} holds {found.unpaid} unpaid seats; {unpaid_seats_allowed(found.lapsed)} are allowed at present.",
        retry_after=max(1, math.ceil(seconds)),
    )


def _update_id(update: str, request: SeatRequest | PaymentReport) -> str:
    # Unique per request: Temporal answers a repeated update id with the first result, and a refusal may not last that long.
    return f"{update}:{request.out_trade_no}:{request.request_id}"
