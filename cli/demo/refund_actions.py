"""What the steps of the refund journey are made of: campaigns of its own, refunds, callbacks, checks."""

import asyncio
from datetime import UTC, datetime, timedelta

from pydantic import JsonValue

from cli.demo.client import DemoError, require
from cli.demo.schemas import Campaign, Goods, Order, Refund
from cli.demo.session import CHANNEL, Session
from cli.demo.vetoing_mall import Event, VetoingMall

SOURCE = "s01"
"""the demo mall"""


class RefundActions:
    def __init__(self, session: Session) -> None:
        self._session = session
        self._narrator = session.narrator
        self._campaigns: list[int] = []

    async def create_campaign(self, *, target_count: int, **seconds: int) -> str:
        """Creates goods and a campaign for them; returns the goods_id.

        The campaign also ends by itself, in case the demo cannot end it.
        """
        session, now = self._session, datetime.now(UTC)
        goods_id = f"demo-{session.run}-{len(self._campaigns) + 1}"
        goods: dict[str, JsonValue] = {"name": "Demo book", "original_price": "100.00"}
        await session.ops.call(Goods, "PUT", f"/v1/ops/goods/{goods_id}", goods)
        request: dict[str, JsonValue] = {
            "name": "For the demo",
            "status": "active",
            "starts_at": (now - timedelta(minutes=1)).isoformat(),
            "ends_at": (now + timedelta(hours=1)).isoformat(),
            "goods": [{"source": SOURCE, "channel": CHANNEL, "goods_id": goods_id}],
            "discount": {"plan": "cut", "expr": "20"},
            "target_count": target_count,
            **seconds,
        }
        campaign = (await session.ops.call(Campaign, "POST", "/v1/ops/campaigns", request)).body
        self._campaigns.append(campaign.campaign_id)
        times = "".join(f", {name} {value} s" for name, value in seconds.items())
        await self._narrator.line(f"campaign {campaign.campaign_id}, made for this step: teams of {target_count}{times}")
        return goods_id

    async def end_campaigns(self) -> None:
        while self._campaigns:
            path = f"/v1/ops/campaigns/{self._campaigns[-1]}"
            campaign = (await self._session.ops.call(Campaign, "PATCH", path, {"status": "ended"})).body
            require(f"campaign {campaign.campaign_id}", campaign.status, "ended")
            self._campaigns.pop()

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
        """Waits until the demo mall has received all of these, and shows them."""
        kinds = [(kind, order.out_trade_no if order else None) for kind, order in expected]
        for callback in await self._session.callbacks(team_id, *kinds):
            await self._narrator.line(f"the mall received {callback.type}: signature verified, sequence {callback.sequence}")
            await self._narrator.event_data(callback.data)

    async def callback_at(self, mall: VetoingMall, kind: str) -> Event:
        """Waits until this mall has received an event of this kind."""

        async def read() -> list[Event]:
            if mall.errors:
                raise DemoError(f"a callback at {mall.url} could not be verified: {mall.errors[0]}")
            return [event for event in mall.received if event.type == kind]

        return (await self._session.until(f"{kind} to reach {mall.url}", read, bool))[0]
