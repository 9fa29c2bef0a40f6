"""Trading through the team workflows: a request becomes an update, its answer is read from the rows.

Idempotency is the database's. A request is answered from its order's row when there is one: before an update, and also after a
refusal, since another request for the same number may have been quicker.
"""

import asyncio
import math
import uuid
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Generic, TypeVar
from weakref import WeakValueDictionary

from temporalio.client import Client, WithStartWorkflowOperation, WorkflowHandle
from temporalio.common import SearchAttributePair, TypedSearchAttributes, WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.service import RPCError, RPCStatusCode

from api.http.temporal_errors import answered_within, start_looked_at, workflow_answers
from api.services.refunds import request_refund
from db.campaigns.offers import read_quote_context
from db.core.connection import Database, connection
from db.orders.queries import OrderLookup, OrderRecord, look_up_order, read_order, read_order_and_team
from db.orders.settle import record_other_amount
from db.refunds.queries import look_up_refund
from db.settings.keys import MallAccess
from db.teams.queries import read_team
from domain.addresses import url_refusal
from domain.eligibility import Offer, SeatIntent, require_all, require_terms
from domain.errors import ErrorCode, GroupBuyError, Refusal
from domain.ids import order_id, team_id, team_workflow_id
from domain.lifecycle import TeamStatus
from domain.limits import may_lock_another, unpaid_seats_allowed
from domain.messages.callbacks import Address, CallbackFormat
from domain.messages.orders import HeldSeat, PaymentReport, SeatRequest, SettledPayment
from domain.messages.refunds import RefundInput, RefundRequest
from domain.messages.teams import PROTOCOL, TeamInput
from domain.schemas.callback_settings import AmqpCallback, Callback
from domain.schemas.orders import NewOrder, Order, Payment, Settlement
from settings import Settings
from workflows.search_attributes import CAMPAIGN_ID, MALL, TEAM_STATUS
from workflows.starters import fit_summary
from workflows.task_queues import TRADE_QUEUE
from workflows.team.workflow import LOCK, SETTLE, TeamWorkflow

Key = TypeVar("Key", bound=Hashable)


class KeyedLimit(Generic[Key]):
    """A few turns at a time for each key."""

    def __init__(self, at_once: int) -> None:
        self._at_once = at_once
        self._turns: WeakValueDictionary[Key, asyncio.Semaphore] = WeakValueDictionary()

    @asynccontextmanager
    async def turn(self, key: Key) -> AsyncIterator[bool]:
        """Waits for one; yields whether it had to: then what was read before may be old."""
        turn = self._turns.get(key)
        if turn is None:
            turn = self._turns[key] = asyncio.Semaphore(self._at_once)
        # Not a Lock, which says that it is free also while it goes to one who waited.
        waited = turn.locked()
        async with turn:
            yield waited


class OrderService:
    def __init__(self, database: Database, client: Client, settings: Settings) -> None:
        self._database = database
        self._client = client
        self._settings = settings
        # A buyer's locks go one after the other, so that each sees what the one before took.
        self._buyers = KeyedLimit[tuple[str, str]](1)
        self._teams = KeyedLimit[str](settings.updates_per_team)

    async def lock(self, mall: MallAccess, new: NewOrder, callback_format: CallbackFormat | None = None) -> tuple[Order, bool]:
        """Holds a seat, opening a team where none is named; returns the order, and whether it was there before.

        Raises:
            Refusal: the rules say no.
            Unavailable: the outcome is open.
        """
        request = _seat_request(mall, new, callback_format)
        async with answered_within(self._settings.answer_within):
            place = await self._place(request)
            if place.record is None:
                buyer = (request.source, request.user_id)
                async with self._buyers.turn(buyer) as waited_for_own, self._teams.turn(request.team_id) as waited:
                    if waited_for_own or waited:
                        place = await self._place(request)
                    if place.record is None:
                        _refuse_hoarding(place, request)
                        return await self._ask_for_seat(request, place)
        return _replayed(place.record, new), True

    async def _ask_for_seat(self, request: SeatRequest, place: OrderLookup) -> tuple[Order, bool]:
        try:
            if request.opens_team:
                seat = await self._open_team(request)
            else:
                _refuse_early(place, request)
                seat = await self._join_team(request)
        except Refusal:
            record = await read_order(self._database, request.source, request.out_trade_no)
            if record is None:
                raise
            return _replayed(record, request), True
        record = await read_order(self._database, request.source, request.out_trade_no)
        if record is None:
            raise GroupBuyError(ErrorCode.INTERNAL_ERROR, "A seat was confirmed that has no order.")
        return record.order, seat.repeated

    async def pay(self, mall: MallAccess, out_trade_no: str, payment: Payment) -> tuple[Settlement, bool]:
        """Books a payment; returns its outcome, and whether it had been booked before.

        Raises:
            Refusal: order_not_found; out_trade_no_reused when another amount was reported before.
            Unavailable: the outcome is open.
        """
        async with answered_within(self._settings.answer_within):
            in_team, replayed = await self._find_team(mall, out_trade_no, payment)
            if not replayed:
                async with self._teams.turn(in_team):
                    replayed = await self._settle(mall, in_team, out_trade_no, payment)
            record, team = await read_order_and_team(self._database, mall.source, out_trade_no)
        if record.payment_outcome is None:
            raise GroupBuyError(ErrorCode.INTERNAL_ERROR, "A payment was confirmed that has no outcome.")
        reason = record.payment_reason
        return Settlement(outcome=record.payment_outcome, reason=reason, order=record.order, team=team), replayed

    async def _find_team(self, mall: MallAccess, out_trade_no: str, payment: Payment) -> tuple[str, bool]:
        """The team of an order, and whether this payment of it was reported before."""
        record = await read_order(self._database, mall.source, out_trade_no)
        if record is None:
            raise Refusal(ErrorCode.ORDER_NOT_FOUND, f"There is no order {out_trade_no}.")
        if record.paid_amount is not None and record.paid_amount != payment.amount:
            await record_other_amount(self._database, record.order.order_id, payment, datetime.now(UTC))
            raise Refusal(
                ErrorCode.OUT_TRADE_NO_REUSED,
                f"{record.paid_amount} was reported for {out_trade_no} before, not {payment.amount}.",
            )
        return record.order.team_id, record.payment_outcome is not None

    async def signal_team(self, team: str, signal: str, payload: dict[str, object]) -> None:
        """Sends an operator's signal to a team's workflow.

        Raises:
            Refusal: team_not_found, team_closed when its workflow has ended.
        """
        async with answered_within(self._settings.answer_within):
            if await read_team(self._database, None, team) is None:
                raise Refusal(ErrorCode.TEAM_NOT_FOUND, f"There is no team {team}.")
            try:
                await self._team(team).signal(signal, payload)
            except RPCError as error:
                if error.status is not RPCStatusCode.NOT_FOUND:
                    raise
                raise Refusal(ErrorCode.TEAM_CLOSED, f"The workflow of team {team} has ended.") from error

    # --- the updates ---

    async def _open_team(self, request: SeatRequest) -> HeldSeat:
        async with connection(self._database) as conn:
            found = await read_quote_context(conn, request.source, request, datetime.now(UTC), SeatIntent.OPEN)
        require_all(found.facts)
        offer = found.offer
        start = WithStartWorkflowOperation(
            TeamWorkflow.run,
            TeamInput(
                team_id=request.team_id,
                source=request.source,
                campaign_id=offer.campaign_id,
                goods_id=offer.goods_id,
                goods_name=offer.goods_name,
                target_count=offer.target_count,
                local_activities=self._settings.local_activities,
                protocol=PROTOCOL,
            ),
            id=team_workflow_id(request.team_id),
            task_queue=TRADE_QUEUE,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            # A team that never had a seat ended as failed: its opener may try again. Any other end is for ever.
            id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE_FAILED_ONLY,
            search_attributes=TypedSearchAttributes(
                [
                    SearchAttributePair(MALL, request.source),
                    SearchAttributePair(CAMPAIGN_ID, str(offer.campaign_id)),
                    SearchAttributePair(TEAM_STATUS, TeamStatus.FORMING),
                ]
            ),
            static_summary=_summary(offer, request.source),
        )
        async with workflow_answers(), start_looked_at(start):
            seat: HeldSeat = await self._client.execute_update_with_start_workflow(
                LOCK, request, start_workflow_operation=start, id=_lock_id(request), result_type=HeldSeat
            )
        return seat

    async def _join_team(self, request: SeatRequest) -> HeldSeat:
        async with workflow_answers():
            seat: HeldSeat = await self._team(request.team_id).execute_update(
                LOCK, request, id=_lock_id(request), result_type=HeldSeat
            )
        return seat

    async def _settle(self, mall: MallAccess, team: str, out_trade_no: str, payment: Payment) -> bool:
        """Returns whether it had been booked before."""
        report = PaymentReport(
            source=mall.source,
            out_trade_no=out_trade_no,
            order_id=order_id(mall.source, out_trade_no),
            team_id=team,
            amount=payment.amount,
            paid_at=payment.paid_at,
        )
        try:
            return await self._settle_in_team(report)
        except Refusal as refusal:
            if refusal.code is not ErrorCode.TEAM_CLOSED:
                raise
            # A payment is a fact: it is booked also where the team's workflow has ended. Another request may have booked it
            # meanwhile.
            _, replayed = await self._find_team(mall, out_trade_no, payment)
            if not replayed:
                await self._settle_alone(report)
            return replayed

    async def _settle_in_team(self, report: PaymentReport) -> bool:
        async with workflow_answers():
            settled: SettledPayment = await self._team(report.team_id).execute_update(
                SETTLE, report, id=_settle_id(report), result_type=SettledPayment
            )
        return settled.repeated

    async def _settle_alone(self, report: PaymentReport) -> None:
        place = await look_up_refund(self._database, report.source, report.out_trade_no)
        attempt = place.next_attempt if place else 1
        named = RefundInput(source=report.source, out_trade_no=report.out_trade_no, attempt=attempt, awaits_request=True)
        await request_refund(self._client, named, RefundRequest(payment=report))

    # --- what they stand on ---

    async def _place(self, request: SeatRequest) -> OrderLookup:
        return await look_up_order(self._database, request, datetime.now(UTC))

    def _team(self, team: str) -> WorkflowHandle[TeamWorkflow, str]:
        return self._client.get_workflow_handle_for(TeamWorkflow.run, team_workflow_id(team))


def _seat_request(mall: MallAccess, new: NewOrder, callback_format: CallbackFormat | None) -> SeatRequest:
    callback = callback_address(mall, new.callback)
    if callback is not None and callback_format is not None:
        callback = callback.model_copy(update={"format": callback_format})
    return SeatRequest(
        source=mall.source,
        out_trade_no=new.out_trade_no,
        user_id=new.user_id,
        goods_id=new.goods_id,
        channel=new.channel,
        campaign_id=new.campaign_id,
        team_id=new.team_id or team_id(mall.source, new.out_trade_no),
        opens_team=new.team_id is None,
        callback=callback,
    )


def callback_address(mall: MallAccess, callback: Callback | None) -> Address | None:
    """Where events go: to this callback or, without one, where the mall's setting says.

    Raises:
        Refusal: invalid_request, when the mall may not be called there.
    """
    match callback:
        case None:
            return mall.callback
        case AmqpCallback(routing_key=routing_key):
            return Address(kind="amqp", address=routing_key)
        case http:
            url = str(http.url)
            if refused := url_refusal(url, mall.callback_hosts):
                raise Refusal(ErrorCode.INVALID_REQUEST, f"callback.url: {refused}")
            return Address(kind="http", address=url)


def _replayed(record: OrderRecord, asked: NewOrder | SeatRequest) -> Order:
    """The order that a repeated request gets.

    Raises:
        Refusal: out_trade_no_reused, when the number stands for other content.
    """
    order = record.order
    opens_team = asked.opens_team if isinstance(asked, SeatRequest) else asked.team_id is None
    same_team = record.opened_team if opens_team else not record.opened_team and asked.team_id == order.team_id
    if not same_team or (asked.user_id, asked.goods_id, asked.channel) != (order.user_id, order.goods_id, order.channel):
        raise Refusal(ErrorCode.OUT_TRADE_NO_REUSED, f"{order.out_trade_no} stands for another order.")
    return order


def _refuse_early(place: OrderLookup, request: SeatRequest) -> None:
    """Spares the team's workflow what its rows refuse already; the transaction decides the rest."""
    if place.facts is None:
        raise Refusal(ErrorCode.TEAM_NOT_FOUND, f"There is no team {request.team_id}.")
    if place.team_status is not TeamStatus.FORMING or (place.deadline is not None and place.deadline <= place.facts.now):
        raise Refusal(ErrorCode.TEAM_CLOSED, f"Team {request.team_id} takes nobody any more.")
    require_terms(place.facts)
    if place.seated:
        raise Refusal(ErrorCode.ALREADY_IN_TEAM, f"{request.user_id} has a seat in this team already.")
    if place.full:
        raise Refusal(ErrorCode.TEAM_FULL, f"Every seat of team {request.team_id} is taken.")


def _refuse_hoarding(place: OrderLookup, request: SeatRequest) -> None:
    """Slows down who locks and does not pay. Several API processes may each let one through at once: it is no quota."""
    if may_lock_another(place.unpaid, place.lapsed):
        return
    until = (place.unpaid_until - datetime.now(UTC)).total_seconds() if place.unpaid_until else 0
    raise Refusal(
        ErrorCode.RATE_LIMITED,
        f"{request.user_id} holds {place.unpaid} unpaid seats of {unpaid_seats_allowed(place.lapsed)} that are allowed now.",
        retry_after=max(1, math.ceil(until)),
    )


def _lock_id(request: SeatRequest) -> str:
    # Fresh per request: a refusal stays with its update id for the life of the run, and is not for ever.
    return f"lock:{request.out_trade_no}:{uuid.uuid4().hex}"


def _settle_id(report: PaymentReport) -> str:
    return f"settle:{report.out_trade_no}:{uuid.uuid4().hex}"


def _summary(offer: Offer, source: str) -> str:
    return fit_summary(f"Team of {offer.target_count} for {offer.goods_name}, campaign {offer.campaign_id}, mall {source}")
