"""What both demos share: addresses, buyers, and the account of what happens."""

import asyncio
import secrets
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from time import monotonic

import aiohttp
import click
from pydantic import JsonValue

from cli.demo.client import (
    _PATIENCE_SECONDS,
    _SILENCE_SECONDS,
    Answer,
    Callback,
    Callbacks,
    Client,
    DemoError,
    Order,
    Payment,
    SeenT,
    Team,
    Workflow,
)
from embedded.stack import Addresses

GOODS = "9890001"
CHANNEL = "c01"
BUYERS = ("ana", "ben", "cleo")
LATE_BUYER = "dan"

_STEP_PAUSE_SECONDS = 0.6  # for somebody who reads along
_LINE_PAUSE_SECONDS = 0.25


class Stage:
    """What both journeys are played on: the stack's addresses, this run's buyers, and the account of what happens."""

    def __init__(self, addresses: "Addresses", http: aiohttp.ClientSession) -> None:
        self.api_url = addresses.api_url.rstrip("/")
        self.mall_url = addresses.mall_url.rstrip("/")
        self.webhook_secret = addresses.webhook_secret
        self.api = Client(self.api_url, http, addresses.mall_key)
        self.ops = Client(self.api_url, http, addresses.ops_key)
        self.run = secrets.token_hex(3)  # fresh buyers every time: the campaign's take limit is 1
        self._mall = Client(self.mall_url, http)
        self._links: dict[str, str] = {}
        self._steps = 0

    # The buyers' calls.

    def user(self, name: str) -> str:
        return f"{name}-{self.run}"

    async def lock(
        self, name: str, team_id: str | None = None, goods_id: str = GOODS, callback_url: str | None = None
    ) -> Answer[Order]:
        """Without a callback_url, the order is called back at the demo mall."""
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

    # What the platform does by itself.

    async def until(self, what: str, look: Callable[[], Awaitable[SeenT]], so: Callable[[SeenT], bool]) -> SeenT:
        """Looks again and again until it is so; returns what was seen then. `what` says what is waited for."""
        began, silent = monotonic(), True
        while not so(seen := await look()):
            waited = monotonic() - began
            if waited > _PATIENCE_SECONDS:
                raise DemoError(f"waited {_PATIENCE_SECONDS:g} s in vain for {what}")
            if silent and waited > _SILENCE_SECONDS:
                silent = False
                click.echo(f"   … still waiting for {what}")
            await asyncio.sleep(0.1)
        return seen

    async def callbacks(self, team_id: str, *wanted: tuple[str, str | None]) -> list[Callback]:
        """These types, of these out_trade_nos, as the mall received them, oldest first; as soon as all are there."""

        async def look() -> list[Callback]:
            received = (await self._mall.call(Callbacks, "GET", f"/callbacks?team_id={team_id}")).body.data
            return [callback for callback in reversed(received) if (callback.type, callback.data.get("out_trade_no")) in wanted]

        types = " and ".join(dict.fromkeys(kind for kind, _ in wanted))
        what = f"{types} to reach the mall at {self.mall_url}"
        return await self.until(what, look, lambda found: len(found) == len(wanted))

    # The account.

    async def step(self, title: str) -> None:
        self._steps += 1
        click.echo()
        click.secho(f"{self._steps:<2} {title}", bold=True)
        await _pause(_STEP_PAUSE_SECONDS)

    async def tell(self, line: str) -> None:
        click.echo(f"   {line}")
        await _pause(_LINE_PAUSE_SECONDS)

    def link(self, what: str, workflow: Workflow | None) -> None:
        """To be shown at the end; without a Temporal UI, the workflow's id is what to look for."""
        if workflow is not None:
            self._links[what] = workflow.url or workflow.id

    async def show_links(self, team_id: str) -> None:
        await self.step("Look for yourself")
        links = self._links | {
            "the mall's page of the first team": f"{self.mall_url}/?team_id={team_id}",
            "the mall's page of every team": self.mall_url,
            "the API": f"{self.api_url}/docs",
        }
        width = max(map(len, links)) + 2
        for what, address in links.items():
            await self.tell(f"{what:<{width}}{address}")


async def _pause(seconds: float) -> None:
    if sys.stdout.isatty():
        await asyncio.sleep(seconds)
