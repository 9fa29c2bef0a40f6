"""The simulated cashier: takes a buyer's money, and reports the payment until the platform has answered."""

import asyncio
import logging
from contextlib import suppress
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum

from mall.platform import Order, Platform, PlatformError, PlatformRefusal
from mall.store import Payment, Store

_SHORTFALL = Decimal("1.00")
_POLL_SECONDS = 1.0

log = logging.getLogger(__name__)


class PaymentMode(StrEnum):
    """How a buyer pays."""

    NOW = "now"
    LATE = "late"
    """reported only after the seat has timed out"""
    WRONG = "wrong"
    """less than the order's price"""


class AlreadyPaid(PlatformError):
    pass


class Cashier:
    """Stores a payment before it is reported, so that a mall that is killed in between reports it after its restart."""

    def __init__(self, platform: Platform, store: Store) -> None:
        self._platform = platform
        self._store = store

    async def take(self, order: Order, mode: PaymentMode) -> None:
        """Takes the money and, unless the payment is to be late, reports it.

        Raises:
            AlreadyPaid: money was taken for this order before.
            PlatformUnavailable: it could not be reported now, and will be later.
        """
        amount = order.pay_price - _SHORTFALL if mode is PaymentMode.WRONG else order.pay_price
        payment = Payment(
            out_trade_no=order.out_trade_no, amount=amount, taken_at=datetime.now(UTC), late=mode is PaymentMode.LATE
        )
        if not self._store.add_payment(payment):
            raise AlreadyPaid(f"the money for {order.out_trade_no} was taken already")
        if not payment.late:
            await self._report(payment)

    async def run(self) -> None:
        """Reports late payments when they are due, and those that could not be reported, until it is cancelled."""
        while True:
            await asyncio.sleep(_POLL_SECONDS)
            for payment in self._store.unreported_payments():
                with suppress(PlatformError):  # retried in the next round
                    if not payment.late or (await self._platform.order(payment.out_trade_no)).status != "locked":
                        await self._report(payment)

    async def _report(self, payment: Payment) -> None:
        try:
            settlement = await self._platform.pay(payment.out_trade_no, payment.amount, payment.taken_at)
        except PlatformRefusal as refusal:
            # The platform refuses no valid report of a payment: this is a defect of the mall or its configuration.
            log.exception("the payment for %s was refused", payment.out_trade_no)
            self._store.set_outcome(payment.out_trade_no, "refused", refusal.code)
            raise
        self._store.set_outcome(payment.out_trade_no, settlement.outcome, settlement.reason)
