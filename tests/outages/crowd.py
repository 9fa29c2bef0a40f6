"""Buyers who go on buying while parts of the platform are away, as a patient mall does it for them."""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any, Self

import aiohttp

from embedded.stack import Stack
from tests.api.caller import Answer
from tests.api.polling import until
from tests.api.receiver import Receiver
from tests.api.shop import Json, Offer, Shop

PATIENCE = 10.0
AGAIN_AFTER = 0.2
REST = 0.5
"""seconds between two teams of a group: a crowd at full speed would take the processors that other tests run on"""
EVENTUALLY = 90.0


async def until_running(stack: Stack, part: str) -> None:
    async def look() -> bool:
        return stack.part(part).pid is not None

    await until(look, bool, EVENTUALLY)


class Crowd:
    """Groups of three buyers at once: each opens a team, fills it, pays, and begins anew until told to stop.

    What is unavailable is asked again with the same out_trade_no. Any other trouble, and any answer that contradicts an
    earlier one, ends the test.
    """

    def __init__(self, shop: Shop, offer: Offer, receiver: Receiver, groups: int = 6) -> None:
        self._shop = shop
        self._offer = offer
        self._receiver = receiver
        self._groups = groups
        self._stopping = False
        self._running: list[asyncio.Task[None]] = []
        self.teams: list[str] = []
        self.orders: dict[str, Json] = {}
        self.unavailable: Counter[str] = Counter()
        self.slowest = 0.0

    async def __aenter__(self) -> Self:
        self._running = [asyncio.create_task(self._buy()) for _ in range(self._groups)]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._stopping = True
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    async def completes_teams(self, count: int = 5) -> None:
        """The next so many."""
        wanted = len(self.teams) + count
        await self._until_teams(lambda: len(self.teams) >= wanted)

    async def meets_trouble(self) -> None:
        """Somebody was told to come again, or reached nobody."""
        await self._until_teams(lambda: self.unavailable.total() > 0)

    async def finish(self) -> None:
        """Every team that was begun is completed; then all is checked."""
        self._stopping = True
        async with asyncio.timeout(EVENTUALLY):
            await asyncio.gather(*self._running)
        assert self.slowest < PATIENCE
        await self._nothing_was_decided_twice()
        await self._every_team_was_called_back_once()
        assert await self._shop.violations() == []

    async def _until_teams(self, so: Callable[[], bool]) -> None:
        async def look() -> bool:
            for task in self._running:
                if task.done():
                    task.result()
            return so()

        await until(look, bool, EVENTUALLY)

    async def _buy(self) -> None:
        while not self._stopping:
            opener = await self._lock()
            orders = [opener, *await asyncio.gather(*(self._lock(opener["team_id"]) for _ in range(2)))]
            settlements = await asyncio.gather(*(self._pay(order) for order in orders))
            assert {settlement["outcome"] for settlement in settlements} == {"settled"}
            self.teams.append(opener["team_id"])
            await asyncio.sleep(REST)

    async def _lock(self, team_id: str | None = None) -> Json:
        request = self._offer.request(callback=self._receiver.callback(), **({"team_id": team_id} if team_id else {}))
        order: Json = await self._patiently(lambda: self._shop.mall.post("/v1/orders", request))
        assert order["out_trade_no"] == request["out_trade_no"]
        again: Json = await self._patiently(lambda: self._shop.mall.post("/v1/orders", request))
        assert again["order_id"] == order["order_id"]
        assert team_id is None or order["team_id"] == team_id
        self.orders[order["out_trade_no"]] = order
        return order

    async def _pay(self, order: Json) -> Json:
        settlement: Json = await self._patiently(lambda: self._shop.pay(order))
        return settlement

    async def _patiently(self, call: Callable[[], Awaitable[Answer]]) -> Any:  # noqa: ANN401
        deadline = time.monotonic() + EVENTUALLY
        while True:
            assert time.monotonic() < deadline, "unavailable for ever"
            try:
                answer = await call()
            except aiohttp.ClientError as failure:
                self.unavailable[type(failure).__name__] += 1
                self.refused()
            else:
                self.slowest = max(self.slowest, answer.seconds)
                if answer.status in {200, 201}:
                    self.answered(answer)
                    return answer.body
                answer.refused("temporarily_unavailable", 503)
                assert answer.headers["Retry-After"]
                self.unavailable["temporarily_unavailable"] += 1
                self.refused()
            await asyncio.sleep(AGAIN_AFTER)

    def answered(self, answer: Answer) -> None:
        """Called with each success."""

    def refused(self) -> None:
        """Called whenever a request is to be repeated."""

    async def _nothing_was_decided_twice(self) -> None:
        found = await self._pages("/v1/ops/orders")
        assert {order["out_trade_no"] for order in found} == set(self.orders)
        assert Counter(order["status"] for order in found) == {"paid": len(self.orders)}
        teams = await self._pages("/v1/ops/teams")
        assert {team["team_id"] for team in teams} == set(self.teams)
        assert {(team["status"], team["lock_count"], team["complete_count"]) for team in teams} == {("completed", 3, 3)}

    async def _pages(self, path: str) -> list[Json]:
        found: list[Json] = []
        query: dict[str, str | int] = {"campaign_id": self._offer.campaign_id, "limit": 100}
        while True:
            page = (await self._shop.ops.get(path, **query)).ok()
            found += page["data"]
            if page["next_cursor"] is None:
                return found
            query["cursor"] = page["next_cursor"]

    async def _every_team_was_called_back_once(self) -> None:
        """Once per event id, after the mall has put aside what came twice."""

        async def told() -> Counter[str]:
            events = {one.event_id: one for one in self._receiver.received if one.type == "team.completed"}
            return Counter(event.data["team_id"] for event in events.values())

        expected = Counter(self.teams)
        assert set(expected.values()) == {1}
        await until(told, lambda seen: seen == expected, EVENTUALLY)
