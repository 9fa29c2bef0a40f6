"""Bad fields: each is named in a problem, and nothing is written."""

from collections.abc import Sequence

import pytest

from tests.api.calls import CALLS, CAMPAIGN, ORDER, QUOTE, caller
from tests.api.shop import Shop

pytestmark = pytest.mark.usefixtures("one_line_and_nothing_written")

ODD_IDS = [
    "",
    " ",
    "a b",
    "a/b",
    "../x",
    "ä",
    "团",
    "a\n",
    "\n",
    "a\x00",
    "'; DROP TABLE orders; --",
    "-a",
    "a" * 65,
    "%00",
    "\u202e",
    "\U0001f600",
    "a\ud800",
]
NO_TEXT: list[object] = [None, 1, 1.5, True, [], {}, ["a"], [[]], float("nan"), float("inf")]
NO_AMOUNT: list[object] = [
    None,
    80,
    80.0,
    True,
    [],
    {},
    "",
    " ",
    "abc",
    "NaN",
    "sNaN",
    "-NaN",
    "Infinity",
    "-Infinity",
    "-0.01",
    "-80.00",
    "80.001",
    "1e400",
    "1e-400",
    "1e999999999999999999999",
    "1" * 40,
    "10000000000.00",
    "80,00",
    "0x50",
    "\x00",
    "8\x000",
    float("nan"),
]
NO_MOMENT: list[object] = [
    None,
    0,
    1735689600,
    1.5,
    True,
    "",
    "now",
    "2026-01-31",
    "2026-01-31T12:00:00",
    "2026-13-31T12:00:00Z",
    "\x00",
    "1735689600",
    "0001-01-01T00:00:00+14:00",
    "9999-12-31T23:59:59-14:00",
    "99999-01-01T00:00:00Z",
    [],
    {},
]
NO_CAMPAIGN_ID: list[object] = [
    "100123",
    0,
    -1,
    1.5,
    100123.0,
    True,
    2**31,
    2**63,
    10**30,
    float("nan"),
    float("inf"),
    [],
    {},
    "",
]
NO_COUNT: list[object] = [None, "3", 3.0, True, -1, 0, 1, 1001, 2**31, 10**30, float("nan"), [], {}]

NO_NAME: list[object] = ["", "a\nb", "a\x00", "a\ud800", "x" * 129, *NO_TEXT]
NO_CALLBACK: list[object] = [
    1,
    "http",
    [],
    {},
    {"kind": "http"},
    {"kind": "smtp", "url": "x"},
    {"kind": "http", "url": ""},
    {"kind": "http", "url": "file:///etc/passwd"},
    {"kind": "http", "url": "http://"},
    {"kind": "http", "url": "http://127.0.0.1:99999/"},
    {"kind": "http", "url": "http://127.0.0.1/" + "x" * 3000},
    {"kind": "http", "url": "http://127.0.0.1/", "more": 1},
    {"kind": "amqp", "url": "http://127.0.0.1/"},
    {"kind": "amqp", "routing_key": ""},
    {"kind": "amqp", "routing_key": "a b"},
    {"kind": "amqp", "routing_key": "x" * 256},
]
NO_GOODS: list[object] = [
    [],
    None,
    {},
    [1],
    CAMPAIGN["goods"] * 2,
    [{"source": "s01"}],
    [{**CAMPAIGN["goods"][0], "x": 1}],
    [{**CAMPAIGN["goods"][0], "goods_id": "a b"}],
    [{**CAMPAIGN["goods"][0], "source": "s" * 17}],
]
NO_DISCOUNT: list[object] = [
    None,
    "cut",
    {},
    {"plan": "cut"},
    {"plan": "gift", "expr": "1"},
    {"plan": "cut", "expr": 20},
    {"plan": "cut", "expr": "20", "more": 1},
    *(
        {"plan": "cut", "expr": expr}
        for expr in ("", "abc", "-1", "1,2", "NaN", "Infinity", "1e99", "1e999999999999999999999", "\x00", "20\n\n;")
    ),
    *({"plan": "full_cut", "expr": expr} for expr in ("100", "100,", "10,20", "100,-1", "1,2,3", "a,b")),
    *({"plan": "rate", "expr": expr} for expr in ("0", "1.1", "-0.5", "80%")),
    *({"plan": "fixed", "expr": expr} for expr in ("0", "0.001", "-1")),
]

BAD_FIELDS: dict[tuple[str, str], Sequence[object]] = {
    **{("order", field): [*ODD_IDS, *NO_TEXT] for field in ORDER},
    **{("quote", field): [*ODD_IDS, *NO_TEXT] for field in QUOTE},
    ("order", "campaign_id"): NO_CAMPAIGN_ID,
    ("quote", "campaign_id"): NO_CAMPAIGN_ID,
    ("order", "team_id"): [*ODD_IDS, *NO_TEXT[1:]],
    ("order", "callback"): NO_CALLBACK,
    ("payment", "amount"): NO_AMOUNT,
    ("payment", "paid_at"): NO_MOMENT,
    ("goods", "original_price"): [*NO_AMOUNT, "0", "0.00"],
    ("goods", "name"): NO_NAME,
    ("campaign", "name"): NO_NAME,
    ("campaign", "campaign_id"): NO_CAMPAIGN_ID,
    ("campaign", "target_count"): NO_COUNT,
    ("campaign", "min_count"): [*NO_COUNT[1:6], 4, 1001],
    **{("campaign", field): [0, -1, "900", 1.5, None, 10**10] for field in ("lock_ttl", "team_ttl", "take_limit")},
    **{("campaign", field): [-1, "30", 1.5, None, 10**10] for field in ("payment_grace", "refund_window")},
    ("campaign", "stock"): [-1, "5", 1.5, 2**31, 10**30],
    ("campaign", "status"): ["", "deleted", None, 1],
    ("campaign", "currency"): ["USD", "", None, "CNY\n"],
    ("campaign", "starts_at"): NO_MOMENT,
    ("campaign", "ends_at"): [*NO_MOMENT, "2001-01-01T00:00:00Z"],
    ("campaign", "goods"): NO_GOODS,
    ("campaign", "discount"): NO_DISCOUNT,
    ("change", "target_count"): ["3", None],
    ("change", "campaign_id"): [5],
    ("change", "version"): [5],
    ("change", "updated_at"): ["2026-01-31T12:00:00Z"],
    ("change", "goods"): NO_GOODS,
    ("change", "ends_at"): ["2001-01-01T00:00:00Z"],
    ("change", "min_count"): [4],
    ("change", "discount"): [{"plan": "cut"}],
    ("change", "status"): [None],
    ("extend", "minutes"): [None, "5x", 0, -5, 1.5, 525_601, 10**30, float("nan"), [], {}],
    ("close", "reason"): [None, 1, [], {}, "x" * 501, "a\x00b"],
}


@pytest.mark.parametrize(("call", "field"), BAD_FIELDS)
async def test_a_bad_field_is_named(shop: Shop, subtests: pytest.Subtests, call: str, field: str) -> None:
    method, path, body = CALLS[call]
    for value in BAD_FIELDS[call, field]:
        with subtests.test(ascii(value)[:40]):
            answer = await caller(shop, path).call(method, path, json={**body, field: value})
            problem = answer.refused("invalid_request", 422)
            assert problem["errors"]
            assert all(error["field"].startswith("body") for error in problem["errors"])


@pytest.mark.parametrize("call", CALLS)
async def test_an_unknown_field_is_refused(shop: Shop, subtests: pytest.Subtests, call: str) -> None:
    method, path, body = CALLS[call]
    for name in ("unknown", "", "团", "a" * 5000, "__class__", "\x00", "\ud800"):
        with subtests.test(ascii(name)[:12]):
            (await caller(shop, path).call(method, path, json={**body, name: 1})).refused("invalid_request", 422)


@pytest.mark.parametrize(
    ("call", "field"), [(call, field) for call in ("order", "quote", "payment", "goods", "extend") for field in CALLS[call][2]]
)
async def test_a_missing_field_is_named(shop: Shop, call: str, field: str) -> None:
    method, path, body = CALLS[call]
    answer = await caller(shop, path).call(method, path, json={name: value for name, value in body.items() if name != field})
    [error] = answer.refused("invalid_request", 422)["errors"]
    assert error["field"] == f"body.{field}"


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/v1/ops/orders?sorce=s01", "sorce"),
        ("/v1/ops/orders?source=s01&source=s02", "source"),
        ("/v1/orders?user_id=u1&=1", ""),
        ("/v1/market?goods_id=9890001&channel=c01&user_id=u1&page=2", "page"),
    ],
)
async def test_a_query_names_what_its_call_knows_and_once(shop: Shop, path: str, name: str) -> None:
    errors = (await caller(shop, path).get(path)).refused("invalid_request", 422)["errors"]
    assert [error["field"] for error in errors] == [f"query.{name}"]
