"""The mall's cashier, simulated: takes a buyer's money, and reports it until the platform has answered."""

import asyncio
import logging
from contextlib import suppress
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum

from mall.platform import Order, Platform, PlatformError, Refused
from mall.store import Payment, Store

_WRONG_BY = Decimal("1.00")
_LOOKS_EVERY_SECONDS = 1.0

log = logging.getLogger(__name__)


class How(StrEnum):
    NOW = "now"
    LATE = "late"
    """reported only when the seat is gone"""
    WRONG = "wrong"
    """another amount than the order's"""


class AlreadyPaid(PlatformError):
    pass


class Cashier:
    """Money that was taken is written down before it is reported: a mall that dies in between reports it when it is back."""

    def __init__(self, platform: Platform, store: Store) -> None:
        self._platform = platform
        self._store = store

    async def take(self, order: Order, how: How) -> None:
        amount = order.pay_price - _WRONG_BY if how is How.WRONG else order.pay_price
        payment = Payment(out_trade_no=order.out_trade_no, amount=amount, taken_at=datetime.now(UTC), late=how is How.LATE)
        if not self._store.take_money(payment):
            raise AlreadyPaid(f"the money for {order.out_trade_no} was taken already")
        if not payment.late:
            await self._report(payment)

    async def keep_reporting(self) -> None:
        """What is late, and what found the platform away."""
        while True:
            await asyncio.sleep(_LOOKS_EVERY_SECONDS)
            for payment in self._store.payments_to_report():
                with suppress(PlatformError):  # it will be tried again
                    if not payment.late or (await self._platform.order(payment.out_trade_no)).status != "locked":
                        await self._report(payment)

    async def _report(self, payment: Payment) -> None:
        try:
            settlement = await self._platform.pay(payment.out_trade_no, payment.amount, payment.taken_at)
        except Refused as refused:
            # A payment is a fact, so this is a defect of the mall's or of its set-up: for a person, not to be repeated.
            log.exception("the payment for %s was refused", payment.out_trade_no)
            self._store.reported(payment.out_trade_no, "refused", refused.code)
            raise
        self._store.reported(payment.out_trade_no, settlement.outcome, settlement.reason)
