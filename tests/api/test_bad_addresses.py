"""Paths, methods, filters, limits and cursors that are none."""

import base64

import pytest

from tests.api.calls import caller
from tests.api.shop import Shop, fresh

pytestmark = pytest.mark.usefixtures("one_line_and_nothing_written")


@pytest.mark.parametrize(
    "path", ["/v1/orders?user_id=u&limit={}", "/v1/ops/orders?limit={}", "/v1/ops/teams?limit={}", "/v1/ops/campaigns?limit={}"]
)
async def test_a_bad_limit_is_refused(shop: Shop, subtests: pytest.Subtests, path: str) -> None:
    for limit in ("0", "101", "-1", "1.5", "", "x", "9" * 30, "9" * 5000, "1e1"):
        with subtests.test(limit[:9]):
            (await caller(shop, path).get(path.format(limit))).refused("invalid_request", 422)


def cursor(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode()


NO_CURSOR = {
    "word": "x",
    "no base64": "!!!!",
    "letters": "团",
    "long": "a" * 300,
    "empty": cursor(""),
    "no moment": cursor("yesterday 5"),
    "a NUL": cursor("2026-01-01T00:00:00Z \x00"),
    "beyond time": cursor("0001-01-01T00:00:00+14:00 5"),
    "no UTF-8": base64.urlsafe_b64encode(b"\xff\xfe").decode(),
}


@pytest.mark.parametrize(
    "path", ["/v1/orders?user_id=u", "/v1/ops/orders", "/v1/ops/teams", "/v1/ops/campaigns", "/v1/ops/callbacks"]
)
async def test_a_made_up_cursor_is_refused(shop: Shop, subtests: pytest.Subtests, path: str) -> None:
    for name, made_up in NO_CURSOR.items():
        with subtests.test(name):
            (await caller(shop, path).call("GET", path, params={"cursor": made_up})).refused("invalid_request", 422)


async def test_a_made_up_cursor_without_a_campaign_is_refused(shop: Shop, subtests: pytest.Subtests) -> None:
    for row_id in ("", "a b", "x", "-", str(2**31), str(10**30), "9" * 100):
        with subtests.test(row_id[:12]):
            made_up = cursor(f"2026-01-01T00:00:00Z {row_id}")
            (await shop.ops.get("/v1/ops/campaigns", cursor=made_up)).refused("invalid_request", 422)


async def test_a_bad_filter_is_refused(shop: Shop, subtests: pytest.Subtests) -> None:
    filters: list[tuple[str, dict[str, str]]] = [
        ("/v1/orders", {}),
        *[("/v1/orders", {"user_id": value}) for value in ("", "a b", "\x00", "x" * 65)],
        *[("/v1/ops/orders", {"campaign_id": value}) for value in ("x", "", "1.5", str(2**31), str(10**30))],
        *[("/v1/ops/teams", {"campaign_id": value}) for value in ("x", str(2**31), str(10**30))],
        ("/v1/ops/orders", {"status": "lost"}),
        ("/v1/ops/orders", {"owed": "perhaps"}),
        ("/v1/ops/orders", {"out_trade_no": "a\x00"}),
        ("/v1/ops/teams", {"status": "lost"}),
        ("/v1/ops/teams", {"goods_id": "'"}),
        ("/v1/ops/campaigns", {"status": "lost"}),
    ]
    for path, query in filters:
        with subtests.test(ascii((path, query))[:60]):
            (await caller(shop, path).call("GET", path, params=query)).refused("invalid_request", 422)


async def test_an_odd_id_in_the_path_is_refused(shop: Shop, subtests: pytest.Subtests) -> None:
    for path in (
        "/v1/orders/%00",
        "/v1/orders/a%20b",
        "/v1/orders/%F0%9F%98%80",
        "/v1/orders/%ff%fe",
        "/v1/orders/" + "x" * 65,
        "/v1/orders/" + "x" * 5000,
        "/v1/teams/%00",
        "/v1/teams/'",
        "/v1/ops/teams/%00",
        "/v1/ops/goods/a%20b",
        "/v1/ops/campaigns/x",
        "/v1/ops/campaigns/1.5",
        "/v1/ops/campaigns/%00",
        f"/v1/ops/campaigns/{2**31}",
        f"/v1/ops/campaigns/{10**30}",
        "/v1/ops/campaigns/" + "9" * 5000,
        "/v1/ops/campaigns/-1",
    ):
        with subtests.test(path[:40]):
            answer = await caller(shop, path).get(path)
            assert answer.code in {"invalid_request", "campaign_not_found"}
            answer.refused(str(answer.code), answer.status)


async def test_an_unknown_path_is_not_found(shop: Shop, subtests: pytest.Subtests) -> None:
    for path in (
        "/",
        "/v1",
        "/v1/",
        "/v2/orders",
        "/v1/order",
        "/v1/orders/a/b",
        "/v1/ops",
        "/%00",
        "/..%2f..%2fetc/passwd",
        "/" + "x" * 8000,
    ):
        with subtests.test(path[:40]):
            (await shop.mall.get(path)).refused("not_found", 404)


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("DELETE", "/v1/orders", "GET, HEAD, POST"),
        ("PUT", "/v1/orders", "GET, HEAD, POST"),
        ("PATCH", "/v1/quotes", "POST"),
        ("GET", "/v1/quotes", "POST"),
        ("POST", "/v1/orders/trade-1", "GET, HEAD"),
        ("DELETE", "/v1/ops/campaigns/100123", "GET, HEAD, PATCH"),
        ("POST", "/v1/ops/goods/9890001", "GET, HEAD, PUT"),
        ("TRACE", "/v1/orders", "GET, HEAD, POST"),
    ],
)
async def test_a_wrong_method_is_refused(shop: Shop, method: str, path: str, allowed: str) -> None:
    answer = await caller(shop, path).call(method, path)
    answer.refused("method_not_allowed", 405)
    assert answer.headers["Allow"] == allowed


async def test_an_unknown_order_is_not_found(shop: Shop) -> None:
    (await shop.mall.get(f"/v1/orders/{fresh('trade')}")).refused("order_not_found", 404)
