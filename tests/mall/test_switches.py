"""A mall that is down, slow or vetoes: its answers, and what it does with a retry."""

import asyncio
from typing import Any

import pytest

from tests.api.polling import until
from tests.mall.conftest import Mall, event

COMPLETED = event("team.completed", 1, team_id="t1", completion="target", out_trade_nos=["a", "b"])
QUESTION = event("order.refund_requested", 2, team_id="t1", out_trade_no="a", amount="80.00", reason="buyer")


async def _log(mall: Mall) -> list[tuple[str, bool, str]]:
    """Returns type, duplicate and answer of each attempt, oldest first."""
    attempts: list[Any] = (await mall.get("/shop", buyer="ann"))["arrivals"]
    return [(each["type"], each["duplicate"], each["answer"]) for each in reversed(attempts)]


async def test_a_mall_that_is_down_stores_nothing_and_shows_each_attempt(mall: Mall) -> None:
    await mall.switch(mood="down")
    assert (await mall.send("evt_1", COMPLETED)).status == 503
    assert (await mall.get("/callbacks"))["data"] == []
    await mall.switch(mood="normal")
    assert (await mall.send("evt_1", COMPLETED)).body["duplicate"] is False
    assert await mall.to_do() == {"a": "ship", "b": "ship"}
    assert await _log(mall) == [("team.completed", False, "503 down, not taken"), ("team.completed", False, "200")]


async def test_a_slow_mall_stores_the_event_before_it_answers_and_recognizes_the_retry(mall: Mall) -> None:
    await mall.switch(mood="slow")
    first = asyncio.create_task(mall.send("evt_1", COMPLETED))
    await until(mall.to_do, bool)
    again = asyncio.create_task(mall.send("evt_1", COMPLETED))
    await until(lambda: _log(mall), lambda log: len(log) == 2)
    assert not first.done()
    assert not again.done()
    await mall.switch(mood="normal")
    assert [(await answer).body["duplicate"] for answer in (first, again)] == [False, True]
    assert await _log(mall) == [
        ("team.completed", False, "200, after 20 s"),
        ("team.completed", True, "200, after 20 s"),
    ]


async def test_a_veto_changes_no_order_and_is_repeated_for_a_retry(mall: Mall) -> None:
    await mall.send("evt_1", COMPLETED)
    await mall.switch(mood="veto")
    answer = await mall.send("evt_2", QUESTION)
    assert (answer.status, answer.body["code"]) == (409, "refund_rejected")
    await mall.switch(mood="normal")
    assert (await mall.send("evt_2", QUESTION)).status == 409
    assert await mall.to_do() == {"a": "ship", "b": "ship"}
    assert (await _log(mall))[1:] == [
        ("order.refund_requested", False, "409 no"),
        ("order.refund_requested", True, "409 no"),
    ]


async def test_consent_is_not_withdrawn_on_a_retry(mall: Mall) -> None:
    await mall.send("evt_2", QUESTION)
    await mall.switch(mood="veto")
    assert (await mall.send("evt_2", QUESTION)).status == 200
    assert await mall.to_do() == {"a": "hold"}


async def test_only_refund_requests_are_vetoed(mall: Mall) -> None:
    await mall.switch(mood="veto")
    assert (await mall.send("evt_1", COMPLETED)).status == 200


async def test_a_wrong_signature_is_shown(mall: Mall) -> None:
    await mall.post(COMPLETED, {"webhook-id": "evt_1"})
    [attempt] = (await mall.get("/shop", buyer="ann"))["arrivals"]
    assert (attempt["signature"], attempt["type"], attempt["answer"]) == ("wrong", None, "401")


async def test_without_a_broker_rabbitmq_cannot_be_chosen(mall: Mall) -> None:
    answer = await mall.press("/shop/switches", way="rabbitmq")
    assert (answer.status, answer.body["detail"]) == (409, "No broker is configured (GROUPBUY_AMQP_URL).")


ELSEWHERE = "http://elsewhere.example"
OTHER_SITES = (
    {"Sec-Fetch-Site": "cross-site", "Origin": ELSEWHERE},
    {"Sec-Fetch-Site": "same-site", "Origin": "http://127.0.0.1:1"},  # another port on this machine
    {"Origin": ELSEWHERE},
    {"Origin": "null"},
    {"Sec-Fetch-Site": "same-origin", "Origin": ELSEWHERE, "Host": "elsewhere.example"},  # a name that resolves to this machine
)


@pytest.mark.parametrize("path", ["/", "/static/mall.js", "/shop?buyer=ann", "/orders", "/callbacks", "/healthz"])
async def test_nothing_is_read_under_a_name_of_another_site(mall: Mall, path: str) -> None:
    port = mall.url.rpartition(":")[2]
    for host in (
        "elsewhere.example",
        f"elsewhere.example:{port}",
        "127.0.0.1.elsewhere.example",
        "[",
        "127.0.0.1@elsewhere.example",
    ):
        async with mall.http.get(mall.url + path, headers={"Host": host}) as answer:
            assert answer.status == 403, host
    for host in ("localhost", f"localhost:{port}", f"127.0.0.1:{port}"):
        async with mall.http.get(mall.url + path, headers={"Host": host}) as answer:
            assert answer.status == 200, host


@pytest.mark.parametrize("path", ["/shop/switches", "/shop/orders", "/shop/orders/a/payment", "/shop/orders/a/refund"])
async def test_requests_from_other_sites_are_refused(mall: Mall, path: str) -> None:
    body = {"mood": "down", "buyer": "ann", "goods_id": "9890001", "how": "now"}
    for headers in OTHER_SITES:
        assert (await mall.press(path, headers, **body)).status == 403, headers
    assert (await mall.get("/shop", buyer="ann"))["switches"]["mood"] == "normal"
