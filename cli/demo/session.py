"""One run of the demo: its buyers, what they and the mall call, and what it waits for."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from time import monotonic
from typing import TypeVar

import aiohttp
from pydantic import JsonValue

from cli.demo.client import Answer, Client, DemoError
from cli.demo.narrator import Narrator
from cli.demo.schemas import Callback, Callbacks, Order, Payment, Team
from embedded.addresses import Addresses

GOODS = "9890001"
CHANNEL = "c01"
BUYERS = ("ana", "ben", "cleo")
LATE_BUYER = "dan"

WAIT_TIMEOUT = 60.0
"""seconds, for what the platform does by itself"""
NOTICE_AFTER = 5.0
"""seconds of waiting, until the demo says what it waits for"""

ValueT = TypeVar("ValueT")


class Session:
    def __init__(self, addresses: Addresses, http: aiohttp.ClientSession) -> None:
        self.api_url = addresses.api_url.rstrip("/")
        self.mall_url = addresses.mall_url.rstrip("/")
        self.webhook_secret = addresses.webhook_secret
        self.api = Client(self.api_url, http, addresses.mall_key)
        self.ops = Client(self.api_url, http, addresses.ops_key)
        self.narrator = Narrator()
        self.run = secrets.token_hex(3)
        """part of every buyer's name: the campaign's take limit of 1 needs new buyers in every run"""
        self._mall = Client(self.mall_url, http)

    def user(self, name: str) -> str:
        return f"{name}-{self.run}"

    async def lock(
        self, name: str, team_id: str | None = None, goods_id: str = GOODS, callback_url: str | None = None
    ) -> Answer[Order]:
        """Without a callback_url, callbacks of the order go to the demo mall."""
        request: dict[str, JsonValue] = {
            "out_trade_no": f"demo-{self.run}-{name}",
            "user_id": self.user(name),
            "goods_id": goods_id,
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
            raise DemoError(f"{name}'s payment was not {outcome}: {payment.outcome} {payment.reason or ''}".rstrip())
        return payment

    async def order(self, out_trade_no: str) -> Order:
        return (await self.api.call(Order, "GET", f"/v1/orders/{out_trade_no}")).body

    async def team(self, team_id: str) -> Team:
        return (await self.api.call(Team, "GET", f"/v1/teams/{team_id}")).body

    async def until(self, what: str, read: Callable[[], Awaitable[ValueT]], condition: Callable[[ValueT], bool]) -> ValueT:
        """Reads until the condition holds; returns the value that met it. `what` names it for the reader.

        Raises:
            DemoError: it does not hold after WAIT_TIMEOUT.
        """
        began, noticed = monotonic(), False
        while not condition(value := await read()):
            waited = monotonic() - began
            if waited > WAIT_TIMEOUT:
                raise DemoError(f"waited {WAIT_TIMEOUT:g} s in vain for {what}")
            if not noticed and waited > NOTICE_AFTER:
                noticed = True
                self.narrator.waiting(what)
            await asyncio.sleep(0.1)
        return value

    async def callbacks(self, team_id: str, *expected: tuple[str, str | None]) -> list[Callback]:
        """Waits until the demo mall has received a callback of each type and out_trade_no; returns them oldest first."""

        async def read() -> list[Callback]:
            received = (await self._mall.call(Callbacks, "GET", f"/callbacks?team_id={team_id}")).body.data
            return [each for each in reversed(received) if (each.type, each.data.get("out_trade_no")) in expected]

        types = " and ".join(dict.fromkeys(kind for kind, _ in expected))
        what = f"{types} to reach the mall at {self.mall_url}"
        return await self.until(what, read, lambda found: len(found) == len(expected))
