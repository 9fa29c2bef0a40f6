"""What the steps of the refund journey are made of: refunds, callbacks, checks."""

import asyncio

from cli.demo.client import require
from cli.demo.receiving_mall import ReceivingMall
from cli.demo.schemas import Callback, Order, Refund
from cli.demo.session import Session


class RefundActions:
    def __init__(self, session: Session) -> None:
        self._session = session
        self._narrator = session.narrator

    async def join(self, opener: Order, *names: str) -> list[Order]:
        """Locks the seats concurrently, because the step has little time for it."""
        locks = (self._session.lock(name, opener.team_id, opener.goods_id) for name in names)
        return [answer.body for answer in await asyncio.gather(*locks)]

    async def refund(self, name: str, order: Order, reason: str, kind: str) -> Refund:
        """Requests a refund, which must be of this kind."""
        path = f"/v1/orders/{order.out_trade_no}/refund"
        answer = await self._session.api.call(Refund, "POST", path, {"reason": reason})
        refund = answer.body
        require(f"the kind of {name}'s refund", refund.kind, kind)
        self._narrator.link(f"{name}'s refund, {kind}", refund.workflow)
        await self._narrator.line(f'{name} requests a refund ("{reason}"): {answer.status}, {refund.line}')
        return refund

    async def until_refund(self, name: str, order: Order, status: str) -> Refund:
        async def read() -> Refund:
            return (await self._session.api.call(Refund, "GET", f"/v1/orders/{order.out_trade_no}/refund")).body

        return await self._session.until(f"{name}'s refund to be {status}", read, lambda refund: refund.status == status)

    async def money_returned(self, name: str, order: Order) -> Refund:
        """Waits until the refund is done, and checks order and amount."""
        refund = await self.until_refund(name, order, "done")
        require(f"the amount of {name}'s refund", refund.amount, order.pay_price)
        await self.check_order(name, order, "refunded", f"the mall returns {refund.amount}; {refund.line}")
        return refund

    async def check_order(self, name: str, order: Order, status: str, meaning: str) -> None:
        order = await self._session.order(order.out_trade_no)
        require(f"{name}'s order", order.status, status)
        because = f" ({order.cancel_reason})" if order.cancel_reason and status == "cancelled" else ""
        await self._narrator.line(f"{name}'s order is {order.status}{because}: {meaning}")

    async def callbacks(self, team_id: str, *expected: tuple[str, Order | None]) -> None:
        """Waits until the mall has received all of these, and shows them."""
        kinds = [(kind, order.out_trade_no if order else None) for kind, order in expected]
        for callback in await self._session.callbacks(team_id, *kinds):
            await self._narrator.line(f"the mall received {callback.type}: signature verified, sequence {callback.sequence}")
            await self._narrator.event_data(callback.data)

    async def callback_at(self, mall: ReceivingMall, kind: str) -> Callback:
        """Waits until this mall has received a callback of this kind."""

        async def read() -> list[Callback]:
            mall.require_verified()
            return [callback for callback in mall.received if callback.type == kind]

        return (await self._session.until(f"{kind} to reach {mall.url}", read, bool))[0]
