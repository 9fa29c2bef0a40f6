"""What both sides do beside their durability: the platform's own transactions, called with the same messages."""

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from activities.callbacks.deliver import CallbackActivities
from activities.callbacks.retries import RetrySchedule
from activities.callbacks.senders.http import http_sender
from bench.api_client import Json
from db.core.connection import Database
from db.orders.lock import lock_seat
from db.orders.settle import settle_payment
from domain.ids import order_id, team_id
from domain.messages.callbacks import Address, Deliver
from domain.messages.orders import HeldSeat, LockSeat, PaymentReport, SeatRequest, SettledPayment, SettlePayment

SOURCE = "s01"
CONNECTIONS = 16
"""as a process of the platform has"""
RETRIES = RetrySchedule(timedelta(seconds=1), timedelta(hours=1), give_up_after=timedelta(days=3))
PRICE = "80.00"
"""of the offer: a bare route looks nothing up"""
WINDOW_SECONDS = 1.0
"""in which members of a completed team may leave"""


class Trade:
    def __init__(self, database: Database, callbacks: CallbackActivities) -> None:
        self._database = database
        self._callbacks = callbacks

    async def lock(self, request: SeatRequest) -> HeldSeat:
        return await lock_seat(self._database, LockSeat(request=request, now=datetime.now(UTC)))

    async def settle(self, report: PaymentReport) -> SettledPayment:
        return await settle_payment(self._database, SettlePayment(report=report, now=datetime.now(UTC)))

    async def deliver(self, event_ids: list[str]) -> None:
        """Raises where a callback has to be tried again."""
        await self._callbacks.deliver(Deliver(event_ids=event_ids))


@asynccontextmanager
async def trade(database_url: str) -> AsyncIterator[Trade]:
    database = Database(database_url, size=CONNECTIONS)
    try:
        async with http_sender(15) as http:
            yield Trade(database, CallbackActivities(database, {"http": http}, RETRIES))
    finally:
        await database.close()


def seat_request(body: Json) -> SeatRequest:
    """Reads a mall's POST /v1/orders."""
    number = body["out_trade_no"]
    callback = body.get("callback")
    return SeatRequest(
        source=SOURCE,
        out_trade_no=number,
        user_id=body["user_id"],
        goods_id=body["goods_id"],
        channel=body["channel"],
        campaign_id=body["campaign_id"],
        team_id=body.get("team_id") or team_id(SOURCE, number),
        opens_team="team_id" not in body,
        callback=callback and Address(kind="http", address=callback["url"]),
        request_id=secrets.token_hex(8),
    )


def payment_report(number: str, body: Json) -> PaymentReport:
    """Reads a mall's POST /v1/orders/{out_trade_no}/payment, which names the team here: nothing is looked up."""
    return PaymentReport(
        source=SOURCE,
        out_trade_no=number,
        order_id=order_id(SOURCE, number),
        team_id=body["team_id"],
        amount=body["amount"],
        paid_at=body["paid_at"],
        request_id=secrets.token_hex(8),
    )


def order_answer(request: SeatRequest) -> Json:
    return {"out_trade_no": request.out_trade_no, "team_id": request.team_id, "pay_price": PRICE}


def payment_answer(team: str, settled: SettledPayment) -> dict[str, Any]:
    return {"outcome": settled.outcome, "team": {"team_id": team, "status": settled.team.status, "workflow": {"id": team}}}
