"""A shop to try things in: goods and campaigns of its own, and the buyers' calls."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from embedded.demo_data import CHANNEL, SOURCE
from tests.api.caller import Answer, Caller
from tests.api.polling import until

Json = dict[str, Any]
OTHER_SOURCE = "s02"


def fresh(kind: str) -> str:
    """An id that no other test uses."""
    return f"{kind}-{secrets.token_hex(6)}"


def now() -> datetime:
    return datetime.now(UTC)


def moment(after: timedelta = timedelta()) -> str:
    return (now() + after).isoformat()


def moment_of(text: str) -> datetime:
    return datetime.fromisoformat(text)


def campaign_of(goods_id: str, **fields: object) -> Json:
    """A campaign that is open, with 20 off; `fields` change what a test is about."""
    return {
        "name": "For a test",
        "status": "active",
        "starts_at": moment(-timedelta(days=1)),
        "ends_at": moment(timedelta(days=1)),
        "goods": [{"source": SOURCE, "channel": CHANNEL, "goods_id": goods_id}],
        "discount": {"plan": "cut", "expr": "20"},
        "target_count": 3,
        **fields,
    }


@dataclass(frozen=True)
class Shop:
    mall: Caller
    ops: Caller
    other_mall: Caller

    async def put_goods(self, original_price: str = "100.00") -> str:
        goods_id = fresh("goods")
        (await self.ops.put(f"/v1/ops/goods/{goods_id}", {"name": "A book", "original_price": original_price})).ok()
        return goods_id

    async def sell(self, original_price: str = "100.00", also_sold_by: Sequence[str] = (), **fields: object) -> "Offer":
        """New goods in a new campaign."""
        goods_id = await self.put_goods(original_price)
        new = campaign_of(goods_id, **fields)
        new["goods"] += [{**new["goods"][0], "source": source} for source in also_sold_by]
        campaign = (await self.ops.post("/v1/ops/campaigns?confirm=true", new)).ok(201)
        return Offer(self, goods_id, campaign["campaign_id"])

    async def order(self, out_trade_no: str) -> Any:  # noqa: ANN401
        return (await self.mall.get(f"/v1/orders/{out_trade_no}")).ok()

    async def team(self, team_id: str) -> Any:  # noqa: ANN401
        return (await self.mall.get(f"/v1/teams/{team_id}")).ok()

    async def orders_of_team(self, team_id: str) -> Any:  # noqa: ANN401
        return (await self.ops.get("/v1/ops/orders", team_id=team_id, limit=100)).ok()["data"]

    async def pay(self, order: Json, amount: str | None = None) -> Answer:
        report = {"amount": amount or order["pay_price"], "paid_at": moment()}
        return await self.mall.post(f"/v1/orders/{order['out_trade_no']}/payment", report)

    async def settle(self, *orders: Json) -> Any:  # noqa: ANN401
        """Pays for these; the answer to the last payment."""
        for order in orders:
            settlement = (await self.pay(order)).ok()
            assert settlement["outcome"] == "settled"
        return settlement

    async def refund(self, order: Json, **fields: object) -> Answer:
        return await self.mall.post(f"/v1/orders/{order['out_trade_no']}/refund", fields)

    async def until_refund(self, order: Json, status: str) -> Any:  # noqa: ANN401
        async def look() -> Any:  # noqa: ANN401
            return (await self.mall.get(f"/v1/orders/{order['out_trade_no']}/refund")).ok()

        return await until(look, lambda seen: seen["status"] == status)

    async def until_order(self, order: Json, status: str) -> Any:  # noqa: ANN401
        return await until(lambda: self.order(order["out_trade_no"]), lambda seen: seen["status"] == status)

    async def until_team(self, team_id: str, status: str) -> Any:  # noqa: ANN401
        return await until(lambda: self.team(team_id), lambda seen: seen["status"] == status)

    async def violations(self) -> Any:  # noqa: ANN401
        return (await self.ops.get("/v1/ops/invariants")).ok()["violations"]


@dataclass(frozen=True)
class Offer:
    """One goods in one campaign."""

    shop: Shop
    goods_id: str
    campaign_id: int

    def request(self, **fields: object) -> Json:
        """A new buyer's request for a seat."""
        who = {"out_trade_no": fresh("trade"), "user_id": fresh("user")}
        return {**who, "goods_id": self.goods_id, "channel": CHANNEL, **fields}

    async def lock(self, **fields: object) -> Answer:
        return await self.shop.mall.post("/v1/orders", self.request(**fields))

    async def seat(self, **fields: object) -> Any:  # noqa: ANN401
        """The order of a new buyer who got a seat."""
        return (await self.lock(**fields)).ok(201)

    async def seats(self, count: int, **fields: object) -> list[Json]:
        """The orders of a new team's first members."""
        opener = await self.seat(**fields)
        joiners = [await self.seat(**{**fields, "team_id": opener["team_id"]}) for _ in range(count - 1)]
        return [opener, *joiners]

    async def change(self, **fields: object) -> Any:  # noqa: ANN401
        return (await self.shop.ops.patch(f"/v1/ops/campaigns/{self.campaign_id}?confirm=true", fields)).ok()

    async def quote(self, **fields: object) -> Any:  # noqa: ANN401
        asked = {"goods_id": self.goods_id, "channel": CHANNEL, "user_id": fresh("user"), **fields}
        return (await self.shop.mall.post("/v1/quotes", asked)).ok()
