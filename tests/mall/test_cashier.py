"""The cashier takes money once, and reports it until the platform has answered."""

import asyncio
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web

from tests.api.polling import until
from tests.mall.conftest import Mall, StartMall, event

ORDER = {
    "out_trade_no": "a",
    "user_id": "ann",
    "team_id": "t1",
    "goods_id": "9890001",
    "pay_price": "80.00",
    "locked_at": "2026-03-01T12:00:00Z",
    "lock_expires_at": "2026-03-01T12:15:00Z",
    "cancel_reason": None,
    "workflow": None,
}

TEAM = {
    "team_id": "t1",
    "status": "forming",
    "target_count": 3,
    "lock_count": 1,
    "complete_count": 0,
    "deadline": "2026-03-02T12:00:00Z",
}


class Platform:
    """A platform with one order, which records the reports of its payment."""

    def __init__(self) -> None:
        self.status = "locked"
        self.is_down = False
        self.requested = asyncio.Event()
        self.keys: set[str] = set()
        self.reports: list[Any] = []
        self.url = ""

    async def order(self, request: web.Request) -> web.Response:
        self.keys.add(request.headers["Authorization"])
        self.requested.set()
        return web.json_response(ORDER | {"status": self.status})

    async def pay(self, request: web.Request) -> web.Response:
        if self.is_down:
            self.requested.set()
            return web.json_response({"code": "temporarily_unavailable", "retryable": True}, status=503)
        self.reports.append(await request.json())
        is_late = self.status == "cancelled"
        return web.json_response({"outcome": "refunding", "reason": "late_payment"} if is_late else {"outcome": "settled"})

    async def refund(self, _: web.Request) -> web.Response:
        return web.json_response({"code": "refund_not_found", "detail": "It has none."}, status=404)

    async def team(self, _: web.Request) -> web.Response:
        return web.json_response(TEAM)

    async def orders(self, _: web.Request) -> web.Response:
        return web.json_response({"data": [ORDER | {"status": "refunded" if self.reports else self.status}]})

    async def next_request(self) -> None:
        self.requested.clear()
        await asyncio.wait_for(self.requested.wait(), 20)


@pytest.fixture
async def platform() -> AsyncIterator[Platform]:
    platform = Platform()
    app = web.Application()
    app.router.add_get("/v1/orders/a", platform.order)
    app.router.add_post("/v1/orders/a/payment", platform.pay)
    app.router.add_get("/v1/orders", platform.orders)
    app.router.add_get("/v1/orders/a/refund", platform.refund)
    app.router.add_get("/v1/teams/t1", platform.team)
    runner = web.AppRunner(app)
    await runner.setup()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        platform.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        await web.SockSite(runner, listener).start()
        yield platform
        await runner.cleanup()


async def _payment(mall: Mall) -> Any:  # noqa: ANN401 - JSON
    """Waits until the payment has been reported; returns it as the mall shows it."""

    async def read() -> Any:  # noqa: ANN401
        return (await mall.get("/shop", buyer="ann"))["orders"][0]["payment"]

    return await until(read, lambda payment: payment["outcome"])


@pytest.mark.parametrize(("how", "amount"), [("now", "80.00"), ("wrong", "79.00")])
async def test_a_payment_is_taken_once_and_reported_with_the_mall_s_key(
    start_mall: StartMall, platform: Platform, how: str, amount: str
) -> None:
    async with start_mall(api_url=platform.url) as mall:
        assert (await mall.press("/shop/orders/a/payment", how=how)).status == 204
        assert (await mall.press("/shop/orders/a/payment", how="now")).status == 409
    assert [report["amount"] for report in platform.reports] == [amount]
    assert platform.keys == {"Bearer mall-key"}


async def test_a_late_payment_is_reported_when_the_seat_has_timed_out(start_mall: StartMall, platform: Platform) -> None:
    async with start_mall(api_url=platform.url) as mall:
        await mall.press("/shop/orders/a/payment", how="late")
        await platform.next_request()  # the cashier finds the seat still locked
        assert platform.reports == []
        platform.status = "cancelled"
        payment = await _payment(mall)
    assert (payment["outcome"], payment["reason"]) == ("refunding", "late_payment")
    assert len(platform.reports) == 1


async def test_a_payment_is_reported_after_a_restart_when_the_platform_was_down(
    start_mall: StartMall, platform: Platform
) -> None:
    platform.is_down = True
    async with start_mall(api_url=platform.url) as mall:
        answer = await mall.press("/shop/orders/a/payment", how="now")
        assert answer.status == 409
        assert "The cashier has the money" in answer.body["detail"]
    platform.is_down = False
    async with start_mall(api_url=platform.url) as mall:
        assert (await _payment(mall))["outcome"] == "settled"


async def test_money_is_returned_once_when_the_event_arrives(start_mall: StartMall, platform: Platform) -> None:
    async def returned() -> Any:  # noqa: ANN401
        return (await mall.get("/shop", buyer="ann"))["orders"][0]["money_back"]

    async with start_mall(api_url=platform.url) as mall:
        await mall.press("/shop/orders/a/payment", how="now")
        assert await returned() == "0.00"
        for _ in range(2):
            await mall.send("evt_1", event("order.refunded", 1, team_id="t1", out_trade_no="a", amount="80.00"))
        assert await returned() == "80.00"
