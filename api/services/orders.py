"""Locks seats and books payments through the workflows of their teams.

Idempotency is the database's: a request whose order exists is answered from its row, before an update and again after a
refusal, because a concurrent request with the same number may have been faster.
"""

import math
import uuid
from datetime import UTC, datetime

from temporalio.client import Client, WithStartWorkflowOperation, WorkflowHandle

from api.http.temporal_errors import retrieve_start_failure, time_limit, translate_update_errors
from api.runtime.keyed_limit import KeyedLimit
from api.services.callbacks import callback_address
from db.campaigns.offers import read_quote_context
from db.core.connection import Database, connection
from db.orders.queries import OrderLookup, OrderRecord, look_up_order, read_order, read_order_and_team
from db.orders.settle import record_other_amount
from db.settings.keys import MallAccess
from domain.eligibility import SeatIntent, require_all, require_terms
from domain.errors import ErrorCode, GroupBuyError, Refusal
from domain.ids import team_id, team_workflow_id
from domain.lifecycle import other_amount_refusal
from domain.limits import may_lock_another, unpaid_seats_allowed
from domain.messages.callbacks import CallbackFormat
from domain.messages.orders import HeldSeat, PaymentReport, SeatRequest, SettledPayment
from domain.messages.payments import PaymentInput
from domain.schemas.orders import NewOrder, Order, Payment, Settlement
from domain.seats import OrderContent, is_joinable, require_same_content
from settings import Settings
from workflows.payment import BOOK, PaymentWorkflow
from workflows.starters import payment_options, team_start
from workflows.team.state import TeamInput
from workflows.team.workflow import LOCK, SETTLE, TeamWorkflow


class OrderService:
    def __init__(self, database: Database, client: Client, settings: Settings) -> None:
        self._database = database
        self._client = client
        self._settings = settings
        # One lock per buyer at a time, so that each sees the seat that the previous one took.
        self._buyers = KeyedLimit[tuple[str, str]](1)
        # Temporal refuses an update beyond a workflow's limit of updates in flight, and aborts those that are.
        self._teams = KeyedLimit[str](settings.updates_per_team)

    async def lock(self, mall: MallAccess, new: NewOrder, callback_format: CallbackFormat = "standard") -> tuple[Order, bool]:
        """Holds a seat, opening a team where none is named; returns the order, and whether it existed before.

        Raises:
            Refusal: a rule refuses the seat.
            Unavailable: the outcome is unknown.
        """
        request = _seat_request(mall, new, callback_format)
        async with time_limit(self._settings.answer_within):
            found = await self._look_up(request)
            if found.record is None:
                buyer = (request.source, request.user_id)
                async with self._buyers.slot(buyer) as waited_for_buyer, self._teams.slot(request.team_id) as waited_for_team:
                    if waited_for_buyer or waited_for_team:
                        found = await self._look_up(request)
                    if found.record is None:
                        _require_few_unpaid(found, request)
                        return await self._take_seat(request, found)
        return _same_order(found.record, request), True

    async def pay(self, mall: MallAccess, out_trade_no: str, payment: Payment) -> tuple[Settlement, bool]:
        """Books a payment; returns its outcome, and whether it had been booked before.

        Raises:
            Refusal: order_not_found; out_trade_no_reused when another amount was reported before.
            Unavailable: the outcome is unknown.
        """
        async with time_limit(self._settings.answer_within):
            record = await self._read_payable(mall, out_trade_no, payment)
            repeated = record.payment_outcome is not None
            if not repeated:
                async with self._teams.slot(record.order.team_id):
                    repeated = await self._settle(mall, record.order, payment)
            record, team = await read_order_and_team(self._database, mall.source, out_trade_no)
        if record.payment_outcome is None:
            raise GroupBuyError(ErrorCode.INTERNAL_ERROR, "A payment was confirmed that has no outcome.")
        outcome, reason = record.payment_outcome, record.payment_reason
        return Settlement(outcome=outcome, reason=reason, order=record.order, team=team), repeated

    # --- locks ---

    async def _look_up(self, request: SeatRequest) -> OrderLookup:
        return await look_up_order(self._database, request, datetime.now(UTC))

    async def _take_seat(self, request: SeatRequest, found: OrderLookup) -> tuple[Order, bool]:
        try:
            if request.opens_team:
                seat = await self._open_team(request)
            else:
                _require_joinable(found, request)
                seat = await self._join_team(request)
        except Refusal:
            record = await read_order(self._database, request.source, request.out_trade_no)
            if record is None:
                raise
            return _same_order(record, request), True
        record = await read_order(self._database, request.source, request.out_trade_no)
        if record is None:
            raise GroupBuyError(ErrorCode.INTERNAL_ERROR, "A seat was confirmed that has no order.")
        return record.order, seat.repeated

    async def _open_team(self, request: SeatRequest) -> HeldSeat:
        async with connection(self._database) as conn:
            context = await read_quote_context(conn, request.source, request, datetime.now(UTC), SeatIntent.OPEN)
        require_all(context.facts)
        offer = context.offer
        start = team_start(
            TeamInput(
                team_id=request.team_id,
                source=request.source,
                campaign_id=offer.campaign_id,
                goods_id=offer.goods_id,
                goods_name=offer.goods_name,
                target_count=offer.target_count,
                local_activities=self._settings.local_activities,
            )
        )
        async with translate_update_errors(), retrieve_start_failure(start):
            seat: HeldSeat = await self._client.execute_update_with_start_workflow(
                LOCK, request, start_workflow_operation=start, id=_update_id(LOCK, request.out_trade_no), result_type=HeldSeat
            )
        return seat

    async def _join_team(self, request: SeatRequest) -> HeldSeat:
        async with translate_update_errors():
            seat: HeldSeat = await self._team(request.team_id).execute_update(
                LOCK, request, id=_update_id(LOCK, request.out_trade_no), result_type=HeldSeat
            )
        return seat

    # --- payments ---

    async def _read_payable(self, mall: MallAccess, out_trade_no: str, payment: Payment) -> OrderRecord:
        """Returns the order that a payment is for.

        Raises:
            Refusal: order_not_found; out_trade_no_reused for another amount than was reported first, which is recorded.
        """
        record = await read_order(self._database, mall.source, out_trade_no)
        if record is None:
            raise Refusal(ErrorCode.ORDER_NOT_FOUND, f"There is no order {out_trade_no}.")
        if record.paid_amount is not None and record.paid_amount != payment.amount:
            await record_other_amount(self._database, record.order.order_id, payment, datetime.now(UTC))
            raise other_amount_refusal(out_trade_no, record.paid_amount, payment.amount)
        return record

    async def _settle(self, mall: MallAccess, order: Order, payment: Payment) -> bool:
        """Returns whether the payment had been booked before."""
        report = PaymentReport(
            source=mall.source,
            out_trade_no=order.out_trade_no,
            order_id=order.order_id,
            team_id=order.team_id,
            amount=payment.amount,
            paid_at=payment.paid_at,
        )
        try:
            return await self._settle_in_team(report)
        except Refusal as refusal:
            if refusal.code is not ErrorCode.TEAM_CLOSED:
                raise
        # A payment is a fact, booked also after its team's workflow has ended. A concurrent request may have booked it already.
        record = await self._read_payable(mall, order.out_trade_no, payment)
        if record.payment_outcome is None:
            await self._settle_alone(report)
        return record.payment_outcome is not None

    async def _settle_in_team(self, report: PaymentReport) -> bool:
        async with translate_update_errors():
            settled: SettledPayment = await self._team(report.team_id).execute_update(
                SETTLE, report, id=_update_id(SETTLE, report.out_trade_no), result_type=SettledPayment
            )
        return settled.repeated

    async def _settle_alone(self, report: PaymentReport) -> None:
        """Books the payment in a workflow of its own."""
        payment = PaymentInput(source=report.source, out_trade_no=report.out_trade_no, team_id=report.team_id)
        start = WithStartWorkflowOperation(PaymentWorkflow.run, payment, **payment_options(payment))
        async with translate_update_errors(), retrieve_start_failure(start):
            await self._client.execute_update_with_start_workflow(
                BOOK,
                report,
                start_workflow_operation=start,
                id=_update_id(BOOK, report.out_trade_no),
                result_type=SettledPayment,
            )

    def _team(self, team: str) -> WorkflowHandle[TeamWorkflow, str]:
        return self._client.get_workflow_handle_for(TeamWorkflow.run, team_workflow_id(team))


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
    if found.facts is None or found.team_status is None or found.deadline is None:
        raise Refusal(ErrorCode.TEAM_NOT_FOUND, f"There is no team {request.team_id}.")
    if not is_joinable(found.team_status, found.deadline, found.facts.now):
        raise Refusal(ErrorCode.TEAM_CLOSED, f"Team {request.team_id} can no longer be joined.")
    require_terms(found.facts)
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


def _update_id(update: str, out_trade_no: str) -> str:
    # Unique per request: Temporal answers a repeated update id with the first result, and a refusal may not last that long.
    return f"{update}:{out_trade_no}:{uuid.uuid4().hex}"
