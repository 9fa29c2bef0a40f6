"""One run of the journeys: its buyers, what they and the mall call, and what it waits for."""

import asyncio
import itertools
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from time import monotonic
from typing import Protocol, TypeVar

import aiohttp
from pydantic import JsonValue

from cli.demo.client import Answer, Client, JourneyError
from cli.demo.narrator import Narrator
from cli.demo.schemas import Callback, Invariants, Order, Payment, Team

CHANNEL = "c01"
BUYERS = ("ana", "ben", "cleo")
LATE_BUYER = "dan"

WAIT_TIMEOUT = 60.0
"""seconds, for what the platform does by itself"""
NOTICE_AFTER = 5.0
"""seconds of waiting, until the reader is told what for"""

ValueT = TypeVar("ValueT")


class ReceivesCallbacks(Protocol):
    """The mall that the callbacks go to."""

    @property
    def url(self) -> str: ...

    async def callbacks(self, team_id: str) -> list[Callback]:
        """Returns those of a team whose signature was verified, oldest first."""


@dataclass(frozen=True, kw_only=True)
class Shop:
    """Where the journeys are played, and as whom."""

    name: str
    """begins the numbers of orders, goods and campaigns"""
    api_url: str
    source: str
    mall_key: str
    ops_key: str


class Session:
    def __init__(
        self,
        shop: Shop,
        mall: ReceivesCallbacks,
        http: aiohttp.ClientSession,
        narrator: Narrator,
        *,
        goods_id: str = "",
        wait_timeout: float = WAIT_TIMEOUT,
    ) -> None:
        """
        Args:
            shop: where.
            mall: receives the callbacks.
            http: for every request.
            narrator: is told what happens.
            goods_id: of a campaign for teams of three, whose take limit is 1.
            wait_timeout: seconds, for what the platform does by itself.
        """
        self.shop = shop
        self.mall = mall
        self.api = Client(shop.api_url, http, shop.mall_key)
        self.ops = Client(shop.api_url, http, shop.ops_key)
        self.narrator = narrator
        self.goods_id = goods_id
        self._wait_timeout = wait_timeout
        self._own_goods = itertools.count(1)
        self.run = secrets.token_hex(3)
        """part of every buyer's name: the campaign's take limit of 1 needs new buyers in every run"""

    def new_goods_id(self) -> str:
        return f"{self.shop.name}-{self.run}-{next(self._own_goods)}"

    def user(self, name: str) -> str:
        return f"{name}-{self.run}"

    async def lock(
        self, name: str, team_id: str | None = None, goods_id: str | None = None, callback_url: str | None = None
    ) -> Answer[Order]:
        """Without a callback_url, callbacks of the order go to the mall's own address."""
        request: dict[str, JsonValue] = {
            "out_trade_no": f"{self.shop.name}-{self.run}-{name}",
            "user_id": self.user(name),
            "goods_id": goods_id or self.goods_id,
            "channel": CHANNEL,
        }
        if team_id is not None:
            request["team_id"] = team_id
        if callback_url is not None:
            request["callback"] = {"kind": "http", "url": callback_url}
        return await self.api.call(Order, "POST", "/v1/orders", request)

    async def pay(self, name: str, order: Order, outcome: str = "settled") -> Payment:
        report: dict[str, JsonValue] = {"amount": str(order.pay_price), "paid_at": datetime.now(UTC).isoformat()}
        payment = (await self.api.call(Payment, "POST", f"/v1/orders/{order.out_trade_no}/payment", report)).body
        if payment.outcome != outcome:
            raise JourneyError(f"{name}'s payment was not {outcome}: {payment.outcome} {payment.reason or ''}".rstrip())
        return payment

    async def order(self, out_trade_no: str) -> Order:
        return (await self.api.call(Order, "GET", f"/v1/orders/{out_trade_no}")).body

    async def team(self, team_id: str) -> Team:
        return (await self.api.call(Team, "GET", f"/v1/teams/{team_id}")).body

    async def require_invariants(self) -> None:
        """Raises JourneyError where one is violated."""
        violations = (await self.ops.call(Invariants, "GET", "/v1/ops/invariants")).body.violations
        if violations:
            raise JourneyError(f"{len(violations)} invariants are violated, the first: {violations[0]}")

    async def until(
        self,
        what: str,
        read: Callable[[], Awaitable[ValueT]],
        condition: Callable[[ValueT], bool],
        wait_timeout: float | None = None,
    ) -> ValueT:
        """Reads until the condition holds; returns the value that met it. `what` names it for the reader.

        Raises:
            JourneyError: it does not hold in time.
        """
        began, noticed, timeout = monotonic(), False, wait_timeout or self._wait_timeout
        while not condition(value := await read()):
            waited = monotonic() - began
            if waited > timeout:
                raise JourneyError(f"waited {timeout:g} s in vain for {what}")
            if not noticed and waited > NOTICE_AFTER:
                noticed = True
                self.narrator.waiting(what)
            await asyncio.sleep(0.1)
        return value

    async def callbacks(self, team_id: str, *expected: tuple[str, str | None]) -> list[Callback]:
        """Waits until the mall has received a callback of each type and out_trade_no; returns them oldest first."""

        async def read() -> list[Callback]:
            received = await self.mall.callbacks(team_id)
            return [each for each in received if (each.type, each.data.get("out_trade_no")) in expected]

        types = " and ".join(dict.fromkeys(kind for kind, _ in expected))
        what = f"{types} to reach the mall at {self.mall.url}"
        return await self.until(what, read, lambda found: len(found) == len(expected))
