"""Bad input: a problem with its code, nothing written, and nothing in the log but one line."""

import base64
import io
import json
from collections.abc import AsyncIterator

import asyncpg
import pytest

from tests.api.caller import Answer, Caller
from tests.api.conftest import Log
from tests.api.polling import until
from tests.api.shop import Json, Shop, campaign_of, fresh, moment

WRITTEN = ("orders", "teams", "campaigns", "campaign_goods", "goods", "changes", "payment_conflicts", "user_quotas")
MEGABYTE = 1_000_000


@pytest.fixture(autouse=True)
async def nothing_is_written_but_one_line(database: asyncpg.Connection, api_log: Log) -> AsyncIterator[None]:
    async def rows() -> list[int]:
        return [await database.fetchval(f"SELECT count(*) FROM {table}") for table in WRITTEN]  # noqa: S608

    before = await rows()
    yield
    assert await rows() == before

    async def lines() -> list[str]:
        return api_log.lines()

    [line] = await until(lines, bool, within=3)
    assert " INFO groupbuy.access: " in line
    assert len(line) < 500


ORDER: Json = {"out_trade_no": "trade-1", "user_id": "user-1", "goods_id": "9890001", "channel": "c01"}
QUOTE: Json = {"goods_id": "9890001", "channel": "c01", "user_id": "user-1"}
PAYMENT: Json = {"amount": "80.00", "paid_at": "2026-01-31T12:00:00Z"}
GOODS: Json = {"name": "A book", "original_price": "100.00"}
CAMPAIGN: Json = campaign_of("9890001", status="draft")
CALLS = {
    "order": ("POST", "/v1/orders", ORDER),
    "quote": ("POST", "/v1/quotes", QUOTE),
    "payment": ("POST", "/v1/orders/trade-1/payment", PAYMENT),
    "goods": ("PUT", "/v1/ops/goods/9890001", GOODS),
    "campaign": ("POST", "/v1/ops/campaigns", CAMPAIGN),
    "change": ("PATCH", "/v1/ops/campaigns/100123", {}),
    "extend": ("POST", "/v1/ops/teams/team-1/extend", {"minutes": 5}),
    "close": ("POST", "/v1/ops/teams/team-1/close", {}),
}


def caller(shop: Shop, path: str) -> Caller:
    return shop.ops if path.startswith("/v1/ops") else shop.mall


async def send(shop: Shop, call: str, body: bytes, content_type: str = "application/json") -> Answer:
    method, path, _ = CALLS[call]
    return await caller(shop, path).call(method, path, headers={"Content-Type": content_type}, data=body)


ODD_IDS = ["", " ", "a b", "a/b", "../x", "ä", "团", "a\n", "\n", "a\x00", "'; DROP TABLE orders; --", "-a", "a" * 65, "%00",
           "\u202e", "\U0001f600", "a\ud800"]  # fmt: skip
NO_TEXT = [None, 1, 1.5, True, [], {}, ["a"], [[]], float("nan"), float("inf")]
NO_AMOUNT = [None, 80, 80.0, True, [], {}, "", " ", "abc", "NaN", "sNaN", "-NaN", "Infinity", "-Infinity", "-0.01", "-80.00", "80.001", "1e400",
             "1e-400", "1e999999999999999999999", "1" * 40, "10000000000.00", "80,00", "0x50", "\x00", "8\x000", float("nan")]  # fmt: skip
NO_MOMENT = [None, 0, 1735689600, 1.5, True, "", "now", "2026-01-31", "2026-01-31T12:00:00", "2026-13-31T12:00:00Z", "\x00",
             "1735689600", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "99999-01-01T00:00:00Z", [], {}]  # fmt: skip
NO_CAMPAIGN_ID = ["100123", 0, -1, 1.5, 100123.0, True, 2**31, 2**63, 10**30, float("nan"), float("inf"), [], {}, ""]
NO_COUNT = [None, "3", 3.0, True, -1, 0, 1, 1001, 2**31, 10**30, float("nan"), [], {}]

BAD_FIELDS = [
    *[("order", field, value) for field in ORDER for value in [*ODD_IDS, *NO_TEXT]],
    *[("quote", field, value) for field in QUOTE for value in [*ODD_IDS, *NO_TEXT]],
    *[("order", "campaign_id", value) for value in NO_CAMPAIGN_ID],
    *[("quote", "campaign_id", value) for value in NO_CAMPAIGN_ID],
    *[("order", "team_id", value) for value in [*ODD_IDS, *NO_TEXT[1:]]],
    *[("order", "callback", value) for value in (1, "http", [], {}, {"kind": "http"}, {"kind": "smtp", "url": "x"},
        {"kind": "http", "url": ""}, {"kind": "http", "url": "file:///etc/passwd"}, {"kind": "http", "url": "http://"},
        {"kind": "http", "url": "http://127.0.0.1:99999/"}, {"kind": "http", "url": "http://127.0.0.1/" + "x" * 3000},
        {"kind": "http", "url": "http://127.0.0.1/", "more": 1}, {"kind": "amqp", "url": "http://127.0.0.1/"},
        {"kind": "amqp", "routing_key": ""}, {"kind": "amqp", "routing_key": "a b"}, {"kind": "amqp", "routing_key": "x" * 256})],
    *[("payment", "amount", value) for value in NO_AMOUNT],
    *[("payment", "paid_at", value) for value in NO_MOMENT],
    *[("goods", "original_price", value) for value in [*NO_AMOUNT, "0", "0.00"]],
    *[("goods", "name", value) for value in ["", "a\nb", "a\x00", "a\ud800", "x" * 129, *NO_TEXT]],
    *[("campaign", "name", value) for value in ["", "a\nb", "a\x00", "x" * 129, *NO_TEXT]],
    *[("campaign", "campaign_id", value) for value in NO_CAMPAIGN_ID],
    *[("campaign", "target_count", value) for value in NO_COUNT],
    *[("campaign", "min_count", value) for value in [*NO_COUNT[1:6], 4, 1001]],
    *[("campaign", field, value) for field in ("lock_ttl", "team_ttl", "take_limit") for value in [0, -1, "900", 1.5, None, 10**10]],
    *[("campaign", field, value) for field in ("payment_grace", "refund_window") for value in [-1, "30", 1.5, None, 10**10]],
    *[("campaign", "stock", value) for value in (-1, "5", 1.5, 2**31, 10**30)],
    *[("campaign", "status", value) for value in ("", "deleted", None, 1)],
    *[("campaign", "currency", value) for value in ("USD", "", None, "CNY\n")],
    *[("campaign", field, value) for field in ("starts_at", "ends_at") for value in NO_MOMENT],
    ("campaign", "ends_at", "2001-01-01T00:00:00Z"),
    *[("campaign", "goods", value) for value in ([], None, {}, [1], CAMPAIGN["goods"] * 2, [{"source": "s01"}], [{**CAMPAIGN["goods"][0], "x": 1}],
        [{**CAMPAIGN["goods"][0], "goods_id": "a b"}], [{**CAMPAIGN["goods"][0], "source": "s" * 17}])],
    *[("campaign", "discount", value) for value in (None, "cut", {}, {"plan": "cut"}, {"plan": "gift", "expr": "1"}, {"plan": "cut", "expr": 20},
        {"plan": "cut", "expr": "20", "more": 1}, *({"plan": "cut", "expr": expr} for expr in ("", "abc", "-1", "1,2", "NaN", "Infinity", "1e99", "1e999999999999999999999", "\x00", "20\n\n;")),
        *({"plan": "full_cut", "expr": expr} for expr in ("100", "100,", "10,20", "100,-1", "1,2,3", "a,b")),
        *({"plan": "rate", "expr": expr} for expr in ("0", "1.1", "-0.5", "80%")),
        *({"plan": "fixed", "expr": expr} for expr in ("0", "0.001", "-1")))],
    *[("change", field, value) for field, value in (("target_count", "3"), ("campaign_id", 5), ("version", 5), ("updated_at", moment()), ("unknown", 1),
        ("goods", []), ("ends_at", "2001-01-01T00:00:00Z"), ("min_count", 4), ("discount", {"plan": "cut"}), ("status", None))],
    *[("extend", "minutes", value) for value in (None, "5x", 0, -5, 1.5, 525_601, 10**30, float("nan"), [], {})],
    *[("close", "reason", value) for value in (None, 1, [], {}, "x" * 501, "a\x00b")],
]  # fmt: skip


@pytest.mark.parametrize(("call", "field", "value"), BAD_FIELDS, ids=lambda value: ascii(value)[:40])
async def test_a_bad_field_is_named(shop: Shop, call: str, field: str, value: object) -> None:
    method, path, body = CALLS[call]
    answer = await caller(shop, path).call(method, path, json={**body, field: value})
    problem = answer.refused("invalid_request", 422)
    assert problem["errors"]
    assert all(error["field"].startswith("body") or call == "change" for error in problem["errors"])


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(
    "name", ["unknown", "", "团", "a" * 5000, "__class__", "\x00", "\ud800"], ids=lambda name: ascii(name)[:12]
)
async def test_an_unknown_field_is_refused(shop: Shop, call: str, name: str) -> None:
    method, path, body = CALLS[call]
    (await caller(shop, path).call(method, path, json={**body, name: 1})).refused("invalid_request", 422)


@pytest.mark.parametrize(
    ("call", "field"), [(call, field) for call in ("order", "quote", "payment", "goods", "extend") for field in CALLS[call][2]]
)
async def test_a_missing_field_is_named(shop: Shop, call: str, field: str) -> None:
    method, path, body = CALLS[call]
    answer = await caller(shop, path).call(method, path, json={name: value for name, value in body.items() if name != field})
    [error] = answer.refused("invalid_request", 422)["errors"]
    assert error["field"] == f"body.{field}"


NO_OBJECT = {
    "empty": b"",
    "space": b"  ",
    "null": b"null",
    "text": b'"order"',
    "number": b"7",
    "list": b"[]",
    "list of an object": b"[{}]",
    "no JSON": b"out_trade_no=trade-1",
    "half of JSON": b'{"out_trade_no": "tr',
    "JSON and more": b"{} {}",
    "NaN": b"NaN",
    "a number of 5000 digits": b'{"campaign_id": ' + b"9" * 5000 + b"}",
    "deep lists": b"[" * 30_000,
    "deep objects": b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
    "deep within a field": b'{"goods_id": ' + b"[" * 5_000 + b"]" * 5_000 + b"}",
    "invalid UTF-8": b'{"out_trade_no": "\xff\xfe"}',
    "UTF-16": '{"out_trade_no": "trade-1"}'.encode("utf-16"),
    "UTF-8 with a mark": b"\xef\xbb\xbf{}x",
    "a NUL": b'{"out_trade_no": "a\x00b"}',
    "NULs": b"\x00" * 100,
}


@pytest.mark.parametrize("call", ["order", "payment", "campaign", "change"])
@pytest.mark.parametrize("body", NO_OBJECT.values(), ids=NO_OBJECT)
async def test_what_is_no_json_object_is_refused(shop: Shop, call: str, body: bytes) -> None:
    (await send(shop, call, body)).refused("invalid_request", 422)


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "application/xml", "x"]
)
async def test_another_content_type_is_refused(shop: Shop, content_type: str) -> None:
    (await send(shop, "order", json.dumps(ORDER).encode(), content_type)).refused("invalid_request", 422)


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("kind", ["no JSON", "a long text", "of no said length"])
async def test_ten_megabytes_are_refused(shop: Shop, call: str, kind: str) -> None:
    body = b'{"reason": "' + b"x" * (10 * MEGABYTE) + b'"}' if kind == "a long text" else b"x" * (10 * MEGABYTE)

    async def pieces() -> AsyncIterator[bytes]:
        for begin in range(0, len(body), MEGABYTE):
            yield body[begin : begin + MEGABYTE]

    method, path, _ = CALLS[call]
    headers = {"Content-Type": "application/json"}
    content = pieces() if kind == "of no said length" else io.BytesIO(body)
    answer = await caller(shop, path).call(method, path, headers=headers, data=content)
    assert answer.status in {413, 422}
    answer.refused("invalid_request", answer.status)


@pytest.mark.parametrize(
    "path", ["/v1/orders?user_id=u&limit={}", "/v1/ops/orders?limit={}", "/v1/ops/teams?limit={}", "/v1/ops/campaigns?limit={}"]
)
@pytest.mark.parametrize("limit", ["0", "101", "-1", "1.5", "", "x", "9" * 30, "9" * 5000, "1e1"], ids=lambda limit: limit[:9])
async def test_a_bad_limit_is_refused(shop: Shop, path: str, limit: str) -> None:
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


@pytest.mark.parametrize("path", ["/v1/orders?user_id=u", "/v1/ops/orders", "/v1/ops/teams", "/v1/ops/campaigns"])
@pytest.mark.parametrize("made_up", NO_CURSOR.values(), ids=NO_CURSOR)
async def test_a_made_up_cursor_is_refused(shop: Shop, path: str, made_up: str) -> None:
    (await caller(shop, path).call("GET", path, params={"cursor": made_up})).refused("invalid_request", 422)


@pytest.mark.parametrize("row_id", ["", "a b", "x", "-", str(2**31), str(10**30), "9" * 100], ids=lambda row_id: row_id[:12])
async def test_a_made_up_cursor_without_a_campaign_is_refused(shop: Shop, row_id: str) -> None:
    made_up = cursor(f"2026-01-01T00:00:00Z {row_id}")
    (await shop.ops.get("/v1/ops/campaigns", cursor=made_up)).refused("invalid_request", 422)


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("/v1/orders", {}),
        *[("/v1/orders", {"user_id": value}) for value in ("", "a b", "\x00", "x" * 65)],
        *[("/v1/ops/orders", {"campaign_id": value}) for value in ("x", "", "1.5", str(2**31), str(10**30), "-1")],
        *[("/v1/ops/teams", {"campaign_id": value}) for value in ("x", str(2**31), str(10**30))],
        ("/v1/ops/orders", {"status": "lost"}),
        ("/v1/ops/orders", {"owed": "perhaps"}),
        ("/v1/ops/orders", {"out_trade_no": "a\x00"}),
        ("/v1/ops/teams", {"status": "lost"}),
        ("/v1/ops/teams", {"goods_id": "'"}),
        ("/v1/ops/campaigns", {"status": "lost"}),
    ],
    ids=lambda value: ascii(value)[:50],
)
async def test_a_bad_filter_is_refused(shop: Shop, path: str, query: dict[str, str]) -> None:
    (await caller(shop, path).call("GET", path, params=query)).refused("invalid_request", 422)


@pytest.mark.parametrize(
    "path",
    [
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
    ],
    ids=lambda path: path[:40],
)
async def test_an_odd_id_in_the_path_is_refused(shop: Shop, path: str) -> None:
    answer = await caller(shop, path).get(path)
    assert answer.code in {"invalid_request", "campaign_not_found"}
    answer.refused(str(answer.code), answer.status)


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/v1",
        "/v1/",
        "/v2/orders",
        "/v1/order",
        "/v1/orders/a/b",
        "/v1/ops",
        "/%00",
        "/..%2f..%2fetc/passwd",
        "/" + "x" * 9000,
    ],
)
async def test_an_unknown_path_is_not_found(shop: Shop, path: str) -> None:
    (await shop.mall.get(path)).refused("not_found", 404)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("DELETE", "/v1/orders"),
        ("PUT", "/v1/orders"),
        ("PATCH", "/v1/quotes"),
        ("GET", "/v1/quotes"),
        ("POST", "/v1/orders/trade-1"),
        ("DELETE", "/v1/ops/campaigns/100123"),
        ("POST", "/v1/ops/goods/9890001"),
        ("TRACE", "/v1/orders"),
    ],
)
async def test_a_wrong_method_is_refused(shop: Shop, method: str, path: str) -> None:
    (await caller(shop, path).call(method, path)).refused("method_not_allowed", 405)


MALL_CALLS = [("POST", "/v1/quotes"), ("POST", "/v1/orders"), ("GET", "/v1/orders?user_id=u"), ("GET", "/v1/orders/trade-1"),
              ("POST", "/v1/orders/trade-1/payment"), ("GET", "/v1/teams/team-1")]  # fmt: skip
OPS_CALLS = [("PUT", "/v1/ops/goods/9890001"), ("GET", "/v1/ops/goods/9890001"), ("POST", "/v1/ops/campaigns"), ("GET", "/v1/ops/campaigns"),
             ("GET", "/v1/ops/campaigns/100123"), ("PATCH", "/v1/ops/campaigns/100123"), ("GET", "/v1/ops/teams"), ("GET", "/v1/ops/orders"),
             ("GET", "/v1/ops/teams/team-1"), ("POST", "/v1/ops/teams/team-1/extend"), ("POST", "/v1/ops/teams/team-1/complete"),
             ("POST", "/v1/ops/teams/team-1/close"), ("GET", "/v1/ops/invariants")]  # fmt: skip
BODIES = {"/v1/orders": ORDER, "/v1/quotes": QUOTE, "/v1/orders/trade-1/payment": PAYMENT, "/v1/ops/goods/9890001": GOODS,
          "/v1/ops/campaigns": CAMPAIGN, "/v1/ops/teams/team-1/extend": {"minutes": 5}}  # fmt: skip


async def ask(who: Caller, method: str, path: str) -> Answer:
    return await who.call(method, path) if method == "GET" else await who.call(method, path, json=BODIES.get(path, {}))


@pytest.mark.parametrize(("method", "path"), MALL_CALLS)
async def test_a_key_of_operations_is_no_mall_s(shop: Shop, method: str, path: str) -> None:
    (await ask(shop.ops, method, path)).refused("forbidden", 403)


@pytest.mark.parametrize(("method", "path"), OPS_CALLS)
async def test_a_mall_s_key_is_none_of_operations(shop: Shop, method: str, path: str) -> None:
    (await ask(shop.mall, method, path)).refused("forbidden", 403)


@pytest.mark.parametrize(("method", "path"), [*MALL_CALLS, *OPS_CALLS])
async def test_without_a_key_nothing_is_done(shop: Shop, method: str, path: str) -> None:
    answer = await ask(shop.mall.with_key(None), method, path)
    answer.refused("unauthorized", 401)
    assert answer.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize(
    "authorization",
    [
        "",
        "Bearer",
        "Bearer ",
        "Bearer unknown",
        "Bearer gb_mall_",
        "Basic dXNlcjpwYXNz",
        "Bearer " + "x" * 4000,
        "Bearer \xe9\xff",
        "Bearer a b",
        "\xff",
    ],
    ids=lambda text: ascii(text)[:24],
)
async def test_an_unknown_key_is_refused(shop: Shop, authorization: str) -> None:
    headers = {"Authorization": authorization}
    (await shop.mall.with_key(None).call("GET", "/v1/orders/x", headers=headers)).refused("unauthorized", 401)


async def test_an_unknown_order_is_not_found(shop: Shop) -> None:
    (await shop.mall.get(f"/v1/orders/{fresh('trade')}")).refused("order_not_found", 404)
