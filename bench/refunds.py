"""What refunds cost: orders of every kind of refund, and a team of a hundred that fails."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

import asyncpg

from bench.api_client import LOAD_OFFER, TEAM_SIZE, ApiClient, Json
from bench.processes import BenchError, Meter

CALLERS = 16
CROWD = 100
"""members of the team that fails"""
REFUNDED = "SELECT count(*) FROM orders WHERE order_id = ANY($1) AND status IN ('refunded', 'cancelled')"
FINISHED_WITHIN = 120.0
POLL_EVERY = 0.02


@dataclass(frozen=True)
class RefundResult:
    """Refunds of one kind, from the first request until the mall has acknowledged the last one."""

    kind: str
    orders: int
    seconds: float
    cpu: dict[str, float]

    @property
    def rate(self) -> float:
        return self.orders / self.seconds


class RefundBench:
    def __init__(self, mall: ApiClient, ops: ApiClient, database: "asyncpg.Connection[Any]", meter: Meter) -> None:
        self._mall = mall
        self._ops = ops
        self._database = database
        self._meter = meter
        self._locked = 0

    async def each_kind(self, orders: int) -> list[RefundResult]:
        """Refunds so many orders of each kind, in teams of three."""
        teams = max(orders // TEAM_SIZE, 1)
        return [
            await self._measure("unpaid", await self._full_teams(teams, paid=0), self._refund),
            await self._measure("paid_unformed", await self._full_teams(teams, paid=TEAM_SIZE - 1), self._refund),
            await self._measure("paid_formed", await self._full_teams(teams, paid=TEAM_SIZE), self._refund),
            await self._measure("unsettled", await self._full_teams(teams, paid=0), self._pay_wrong_amount),
        ]

    async def failed_team(self) -> RefundResult:
        """An operator closes a team whose members have all paid, which fails it as its deadline would."""
        offer = await self._ops.create_campaign("bench-crowd", 10 * CROWD)
        opener = await self._lock(offer, None)
        members = [opener, *await _concurrently([self._lock(offer, opener["team_id"]) for _ in range(CROWD - 1)])]
        await _concurrently([self._mall.pay(order) for order in members])

        async def close(_: Json) -> None:
            await self._ops.post(f"/v1/ops/teams/{opener['team_id']}/close", {"reason": "bench"})

        return await self._measure(f"a team of {CROWD} fails", members, close, requests=1)

    async def _measure(
        self, kind: str, orders: list[Json], request: Callable[[Json], Coroutine[Any, Any, None]], requests: int | None = None
    ) -> RefundResult:
        """Sends the request for the first `requests` of the orders (None: all), and waits until all orders are undone."""
        order_ids = [order["order_id"] for order in orders]
        before, began = self._meter(), time.monotonic()
        await _concurrently([request(order) for order in orders[:requests]])
        while (done := await self._database.fetchval(REFUNDED, order_ids)) < len(orders):
            if time.monotonic() - began > FINISHED_WITHIN:
                raise BenchError(f"{kind}: {len(orders) - done} orders were still not undone after {FINISHED_WITHIN:g} s")
            await asyncio.sleep(POLL_EVERY)
        seconds = time.monotonic() - began
        return RefundResult(kind, len(orders), seconds, self._meter().since(before))

    async def _refund(self, order: Json) -> None:
        await self._mall.post(f"/v1/orders/{order['out_trade_no']}/refund", {})

    async def _pay_wrong_amount(self, order: Json) -> None:
        await self._mall.pay(order, "0.01")

    async def _full_teams(self, teams: int, *, paid: int) -> list[Json]:
        """Fills teams of three and pays the first `paid` orders of each; returns the paid orders, or all if `paid` is 0."""

        async def team() -> list[Json]:
            opener = await self._lock(LOAD_OFFER, None)
            orders = [opener, *[await self._lock(LOAD_OFFER, opener["team_id"]) for _ in range(TEAM_SIZE - 1)]]
            for order in orders[:paid]:
                await self._mall.pay(order)
            return orders[:paid] if paid else orders

        return [order for orders in await _concurrently([team() for _ in range(teams)]) for order in orders]

    async def _lock(self, offer: Json, team_id: str | None) -> Json:
        self._locked += 1
        return await self._mall.lock(f"refund-{self._locked}", offer, team_id)


async def _concurrently(actions: list[Coroutine[Any, Any, Any]]) -> list[Any]:
    """Runs all of them, at most CALLERS at a time; returns their results in order."""
    slots = asyncio.Semaphore(CALLERS)

    async def run(action: Coroutine[Any, Any, Any]) -> Any:  # noqa: ANN401
        async with slots:
            return await action

    return await asyncio.gather(*(run(action) for action in actions))
