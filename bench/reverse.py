"""What undoing costs: refunds of every kind, and a team of a hundred that fails."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import asyncpg

from bench.mall_calls import OFFER, TEAM_SIZE
from bench.processes import BenchError, Meter

CALLERS = 16
CROWD = 100
"""members of the team that fails"""
UNDONE = "SELECT count(*) FROM orders WHERE order_id = ANY($1) AND status IN ('refunded', 'cancelled')"
FINISHED_WITHIN = 120.0
LOOK_EVERY = 0.02

Json = dict[str, Any]


@dataclass(frozen=True)
class Undone:
    """Orders that were undone, from the first request until the mall knew of the last one."""

    kind: str
    orders: int
    seconds: float
    cpu: dict[str, float]

    @property
    def rate(self) -> float:
        return self.orders / self.seconds


class Reverse:
    def __init__(
        self, http: aiohttp.ClientSession, mall_key: str, ops_key: str, database: "asyncpg.Connection[Any]", meter: Meter
    ) -> None:
        self._http = http
        self._mall = {"Authorization": f"Bearer {mall_key}"}
        self._ops = {"Authorization": f"Bearer {ops_key}"}
        self._database = database
        self._meter = meter
        self._numbers = 0

    async def kinds(self, orders: int) -> list[Undone]:
        """So many orders of each kind, in teams of three."""
        teams = max(orders // TEAM_SIZE, 1)
        return [
            await self._undo("unpaid", await self._orders(teams, paid=0), self._refund),
            await self._undo("paid_unformed", await self._orders(teams, paid=TEAM_SIZE - 1), self._refund),
            await self._undo("paid_formed", await self._orders(teams, paid=TEAM_SIZE), self._refund),
            await self._undo("unsettled", await self._orders(teams, paid=0), self._pay_wrongly),
        ]

    async def failed_team(self) -> Undone:
        """A team whose members have all paid is closed, as one that runs out of time is failed."""
        offer = await self._offer_for_a_crowd()
        opener = await self._lock(offer, None)
        members = [opener, *await self._each([self._lock(offer, opener["team_id"]) for _ in range(CROWD - 1)])]
        await self._each([self._pay(order, order["pay_price"]) for order in members])

        async def close(_: Json) -> None:
            await self._post(f"/v1/ops/teams/{opener['team_id']}/close", {"reason": "bench"}, self._ops)

        return await self._undo(f"a team of {CROWD} fails", members, close, asks=1)

    # --- what is measured ---

    async def _undo(
        self, kind: str, orders: list[Json], how: Callable[[Json], Coroutine[Any, Any, None]], asks: int | None = None
    ) -> Undone:
        """Asks for all of these, or for the first `asks` that stand for all, and waits until each is undone."""
        order_ids = [order["order_id"] for order in orders]
        before, began = self._meter(), time.monotonic()
        await self._each([how(order) for order in orders[:asks]])
        while (done := await self._database.fetchval(UNDONE, order_ids)) < len(orders):
            if time.monotonic() - began > FINISHED_WITHIN:
                raise BenchError(f"{kind}: {len(orders) - done} orders were still not undone after {FINISHED_WITHIN:g} s")
            await asyncio.sleep(LOOK_EVERY)
        seconds = time.monotonic() - began
        return Undone(kind, len(orders), seconds, self._meter().since(before))

    async def _refund(self, order: Json) -> None:
        await self._post(f"/v1/orders/{order['out_trade_no']}/refund", {})

    async def _pay_wrongly(self, order: Json) -> None:
        await self._pay(order, "0.01")

    # --- what is made ready for it ---

    async def _orders(self, teams: int, *, paid: int) -> list[Json]:
        """Full teams of three, of which so many have paid: those, or all where nobody has."""

        async def team() -> list[Json]:
            opener = await self._lock(OFFER, None)
            orders = [opener, *[await self._lock(OFFER, opener["team_id"]) for _ in range(TEAM_SIZE - 1)]]
            for order in orders[:paid]:
                await self._pay(order, order["pay_price"])
            return orders[:paid] if paid else orders

        return [order for orders in await self._each([team() for _ in range(teams)]) for order in orders]

    async def _offer_for_a_crowd(self) -> Json:
        goods_id = "bench-crowd"
        body: Json = {"name": "For a crowd", "original_price": "100.00"}
        async with self._http.put(f"/v1/ops/goods/{goods_id}", json=body, headers=self._ops) as response:
            response.raise_for_status()
        now = datetime.now(UTC)
        campaign = await self._post(
            "/v1/ops/campaigns",
            {
                "name": "For a crowd",
                "status": "active",
                "starts_at": now.isoformat(),
                "ends_at": (now + timedelta(days=1)).isoformat(),
                "goods": [{"source": "s01", "channel": OFFER["channel"], "goods_id": goods_id}],
                "discount": {"plan": "cut", "expr": "20"},
                "target_count": 10 * CROWD,
            },
            self._ops,
        )
        return {"goods_id": goods_id, "channel": OFFER["channel"], "campaign_id": campaign["campaign_id"]}

    async def _lock(self, offer: Json, team_id: str | None) -> Json:
        self._numbers += 1
        number = f"undo-{self._numbers}"
        body = offer | {"out_trade_no": number, "user_id": number}
        return await self._post("/v1/orders", body if team_id is None else body | {"team_id": team_id})

    async def _pay(self, order: Json, amount: str) -> None:
        payment = {"amount": amount, "paid_at": datetime.now(UTC).isoformat()}
        await self._post(f"/v1/orders/{order['out_trade_no']}/payment", payment)

    async def _post(self, path: str, body: Json, headers: dict[str, str] | None = None) -> Json:
        while True:
            async with self._http.post(path, json=body, headers=headers or self._mall) as response:
                answer: Json = await response.json(content_type=None)
            if response.status < 300:
                return answer
            if not answer.get("retryable"):
                raise BenchError(f"POST {path} {body}: {response.status} {answer}")

    async def _each(self, actions: list[Coroutine[Any, Any, Any]]) -> list[Any]:
        """All of them, a few at a time."""
        turns = asyncio.Semaphore(CALLERS)

        async def taking_turns(action: Coroutine[Any, Any, Any]) -> Any:  # noqa: ANN401
            async with turns:
                return await action

        return await asyncio.gather(*(taking_turns(action) for action in actions))
