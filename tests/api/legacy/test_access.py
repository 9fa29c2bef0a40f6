"""The legacy format has no credentials: who may use it."""

from collections.abc import AsyncIterator
from datetime import timedelta
from ipaddress import ip_network

import asyncpg
import pytest
from pydantic import ValidationError
from starlette.datastructures import Headers

from api.legacy.access import AccessRules, identify_caller, require_no_hidden_page
from api.legacy.answers import countdown
from domain.errors import ErrorCode, Refusal
from embedded.demo_data import CHANNEL, SOURCE
from embedded.ports import HOST, free_port
from embedded.stack import Stack
from settings import Settings
from tests.api.another_api import another_api
from tests.api.legacy.client import CONFIG, LOCK, REFUND, SETTLE, UPDATE_CONFIG, OldMall, enveloped, lock_request
from tests.api.polling import until
from tests.api.shop import Shop, fresh, now

PAGE = "https://shop.example"
RULES = AccessRules.of(
    Settings(
        database_url="postgresql:///",
        legacy_origins=f"{PAGE}, http://127.0.0.1:8080",
        legacy_host_names="Market.internal",
        trusted_proxies="10.9.0.0/24",
    )
)
NO_PROXIES = AccessRules(RULES.host_names, (), ())


def caller(peer: str | None, headers: dict[str, str], rules: AccessRules = RULES, *, is_for_pages: bool = False) -> str | None:
    """Returns the address of the caller; None for who is refused."""
    headers = {"Host": "127.0.0.1:8091"} | headers
    try:
        return str(identify_caller(peer, Headers(headers), rules, is_for_pages=is_for_pages).address)
    except Refusal as refusal:
        return None if refusal.code is ErrorCode.FORBIDDEN else str(refusal)


@pytest.mark.parametrize(
    ("peer", "address"),
    [("10.1.2.3", "10.1.2.3"), ("::ffff:10.1.2.3", "10.1.2.3"), ("::1", "::1"), (None, None), ("testclient", None)],
)
def test_without_a_proxy_the_caller_is_the_peer(peer: str | None, address: str | None) -> None:
    assert caller(peer, {"User-Agent": "okhttp/3.14.9", "Accept-Encoding": "gzip", "Connection": "Keep-Alive"}) == address


FORWARDED = (
    "Forwarded X-Forwarded-For X-Forwarded-Host X-Forwarded-Proto X-Forwarded-Port X-Forwarded-Server X-Forwarded-Prefix"
    " X-Real-IP Via X-Client-IP X-Cluster-Client-IP True-Client-IP Client-IP Fastly-Client-IP Fly-Client-IP CF-Connecting-IP"
    " CF-Ray CF-Visitor CDN-Loop X-Envoy-External-Address X-Envoy-Original-Path X-Original-Forwarded-For X-Original-URL"
    " X-Rewrite-URL X-Host X-Remote-IP X-Remote-Addr X-Originating-IP X-ProxyUser-IP WL-Proxy-Client-IP Proxy-Client-IP"
    " X-Nginx-Proxy X-Scheme Max-Forwards X-Azure-ClientIP X-AppEngine-User-IP X-Amzn-Trace-Id X-Amz-Cf-Id Ali-CDN-Real-IP"
    " X-Varnish Surrogate-Capability Front-End-Https"
)


def test_what_was_forwarded_is_refused_without_its_proxy() -> None:
    for name in FORWARDED.split():
        assert caller("127.0.0.1", {name: "127.0.0.1"}, NO_PROXIES) is None, name
        assert caller("127.0.0.1", {name: "127.0.0.1"}) is None, name


@pytest.mark.parametrize(
    ("peer", "forwarded_for", "address"),
    [
        ("10.9.0.1", "10.1.2.3", "10.1.2.3"),
        ("10.9.0.1", "203.0.113.5, 10.1.2.3", "10.1.2.3"),
        ("10.9.0.1", "10.1.2.3, 203.0.113.5", "203.0.113.5"),
        ("10.9.0.1", "10.1.2.3, 10.9.0.2", "10.1.2.3"),
        ("10.9.0.1", "10.9.0.3, 10.9.0.2", "10.9.0.3"),
        ("10.9.0.1", "unknown", None),
        ("10.9.0.1", "10.1.2.3, unknown", None),
        ("10.9.0.1", "", None),
        ("10.1.2.3", "10.1.2.3", None),
        ("203.0.113.5", "127.0.0.1", None),
    ],
)
def test_a_trusted_proxy_is_believed_and_nobody_before_it(peer: str, forwarded_for: str, address: str | None) -> None:
    headers = {"X-Forwarded-For": forwarded_for, "X-Real-IP": "127.0.0.1", "X-Forwarded-Proto": "https"}
    assert caller(peer, headers) == address
    assert caller("10.9.0.1", {"X-Real-IP": "10.1.2.3"}) is None


@pytest.mark.parametrize(
    ("host", "is_known"),
    [
        ("127.0.0.1:8091", True),
        ("10.1.2.3", True),
        ("[::1]:8091", True),
        ("localhost:8091", True),
        ("LocalHost", True),
        ("market.internal:8091", True),
        ("shop.example", True),  # a page of this origin shares it with the format
        ("rebound.example:8091", False),
        ("rebound.localhost:8091", False),
        ("localhost.:8091", False),
        ("127.0.0.1.rebound.example", False),
        ("market.internal.rebound.example", False),
        ("", False),
    ],
)
def test_a_name_that_is_not_ours_is_refused(host: str, is_known: bool) -> None:
    assert (caller("127.0.0.1", {"Host": host}) is not None) is is_known


@pytest.mark.parametrize(
    ("headers", "of_pages", "of_others"),
    [
        ({}, True, True),
        ({"Sec-Fetch-Site": "none"}, True, True),
        ({"Sec-Fetch-Site": "cross-site"}, False, False),
        ({"Sec-Fetch-Site": "same-origin"}, False, False),
        ({"Origin": PAGE, "Sec-Fetch-Site": "cross-site"}, True, False),
        ({"Origin": PAGE, "Sec-Fetch-Site": "same-origin", "Host": "shop.example"}, True, False),
        ({"Origin": "http://127.0.0.1:8080"}, True, False),
        ({"Origin": "http://127.0.0.1:8091"}, False, False),
        ({"Origin": "https://elsewhere.example"}, False, False),
        ({"Origin": "https://shop.example.elsewhere.example"}, False, False),
        ({"Origin": "null"}, False, False),
    ],
)
def test_pages_of_listed_origins_may_make_the_calls_for_pages(headers: dict[str, str], of_pages: bool, of_others: bool) -> None:
    assert (caller("127.0.0.1", headers, is_for_pages=True) is not None) is of_pages
    assert (caller("127.0.0.1", headers) is not None) is of_others


@pytest.mark.parametrize(
    ("headers", "is_allowed"),
    [
        ({"User-Agent": "curl/8.14"}, True),
        ({"User-Agent": "Mozilla/5.0", "Sec-Fetch-Site": "none"}, True),
        ({"User-Agent": "Mozilla/5.0"}, False),
    ],
)
def test_a_browser_that_does_not_say_who_asks_sets_no_switch(headers: dict[str, str], is_allowed: bool) -> None:
    try:
        require_no_hidden_page(Headers(headers))
    except Refusal:
        assert not is_allowed
    else:
        assert is_allowed


def test_settings_are_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GROUPBUY_DATABASE_URL", "postgresql:///")
    settings = Settings()
    assert (settings.legacy_port, settings.legacy_dcc_networks, settings.legacy_origins) == (None, (), ())
    monkeypatch.setenv("GROUPBUY_LEGACY_DCC_NETWORKS", "10.0.0.0/8, fd00::/8")
    monkeypatch.setenv("GROUPBUY_LEGACY_ORIGINS", "https://Shop.example/, http://127.0.0.1:80, http://localhost:3000")
    monkeypatch.setenv("GROUPBUY_TRUSTED_PROXIES", "")
    settings = Settings()
    assert settings.legacy_dcc_networks == (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))
    assert settings.legacy_origins == ("https://shop.example", "http://127.0.0.1", "http://localhost:3000")
    assert settings.trusted_proxies == ()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("LEGACY_ORIGINS", "*"),
        ("LEGACY_ORIGINS", "null"),
        ("LEGACY_ORIGINS", "shop.example"),
        ("LEGACY_ORIGINS", "https://shop.example/page"),
        ("LEGACY_HOST_NAMES", "*"),
        ("LEGACY_HOST_NAMES", "shop.example:8091"),
        ("LEGACY_DCC_NETWORKS", "10.0.0.1/8"),
        ("LEGACY_PORT", "0"),
    ],
)
def test_settings_that_would_open_more_than_was_meant_are_refused(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv("GROUPBUY_DATABASE_URL", "postgresql:///")
    monkeypatch.setenv(f"GROUPBUY_{name}", value)
    with pytest.raises(ValidationError):
        Settings()


# --- on the stack ---


def order_of(source: str) -> dict[str, object]:
    return {"source": source, "channel": CHANNEL, "userId": "u", "outTradeNo": fresh("t")}


async def test_the_port_of_the_api_has_no_legacy_format_and_its_port_nothing_else(shop: Shop, mall: OldMall) -> None:
    there = shop.mall.with_key(None)
    for path in (CONFIG, LOCK, SETTLE, REFUND):
        (await there.post(path, {})).refused("not_found", 404)
    (await there.call("GET", UPDATE_CONFIG)).refused("not_found", 404)
    for path in ("/healthz", "/metrics", "/docs", "/openapi.json", "/v1/orders/1"):
        (await mall.call("GET", path)).refused("not_found", 404)
    (await mall.call("HEAD", UPDATE_CONFIG, params={"key": "downgradeSwitch", "value": "1"})).ok(405)


async def test_a_mall_is_acted_for_from_its_networks_alone(shop: Shop, mall: OldMall, database: asyncpg.Connection) -> None:
    source = fresh("s")[:16]
    offer = await shop.sell(also_sold_by=[source])
    path, fields = f"/v1/ops/malls/{source}", {"name": "A mall", "callback_hosts": [HOST]}

    async def codes() -> list[str]:
        """What becomes of a lock, a payment and a refund for this mall from here."""
        lock = lock_request(offer, source=source)
        order = {name: lock[name] for name in ("source", "channel", "userId", "outTradeNo")}
        requests = ((LOCK, lock), (SETTLE, order | {"outTradeTime": 1795514400000}), (REFUND, order))
        return [(await mall.post(call, body)).body["code"] for call, body in requests]

    unknown = ["E0002", "E0104", "E0104"]
    assert await codes() == unknown
    assert (await shop.ops.put(path, fields)).ok()["legacy_networks"] == []
    assert await codes() == unknown, "a mall that is closed is like none"
    (await shop.ops.put(path, fields | {"legacy_networks": ["10.0.0.0/8", "::1/128"]})).ok()
    assert await codes() == unknown
    changed = (await shop.ops.put(path, fields | {"legacy_networks": ["10.0.0.0/8", "127.0.0.1"]})).ok()
    assert changed["legacy_networks"] == ["10.0.0.0/8", "127.0.0.1/32"]
    assert (await shop.ops.get(path)).ok() == changed
    [change, *_] = (await shop.ops.get("/v1/ops/audit", subject=f"mall/{source}")).ok()["data"]
    assert change["content"]["legacy_networks"] == changed["legacy_networks"]
    assert await codes() == ["0000", "0000", "0000"]
    # Also a change that did not come through this process.
    await database.execute("UPDATE malls SET legacy_networks = '{}' WHERE source = $1", source)
    await until(codes, lambda codes: codes == unknown)
    for networks in (["10.0.0.1/8"], ["everywhere"], [10], "10.0.0.0/8"):
        (await shop.ops.put(path, fields | {"legacy_networks": networks})).refused("invalid_request", 422)


@pytest.fixture(scope="module")
async def proxied(stack: Stack, shop: Shop) -> AsyncIterator[OldMall]:
    """The format of an API process that trusts a proxy on this machine, and lets nobody set switches."""
    port = free_port()
    settings = {"GROUPBUY_LEGACY_PORT": str(port), "GROUPBUY_TRUSTED_PROXIES": f"{HOST}/32", "GROUPBUY_LEGACY_ORIGINS": PAGE}
    async with another_api(stack, shop.mall, **settings) as there:
        yield OldMall(there.elsewhere(f"http://{HOST}:{port}"))


@pytest.mark.parametrize("path", [CONFIG, LOCK, SETTLE, REFUND, UPDATE_CONFIG])
async def test_who_is_in_no_network_is_refused(mall: OldMall, proxied: OldMall, path: str) -> None:
    method = "GET" if path == UPDATE_CONFIG else "POST"
    for headers in ({"X-Forwarded-For": HOST}, {"Host": "rebound.example:8091"}, {"Sec-Fetch-Site": "cross-site"}):
        (await mall.call(method, path, headers=headers, data=b"{}")).refused("forbidden", 403)
    for stranger in ("203.0.113.5", f"{HOST}, 203.0.113.5"):
        (await proxied.call(method, path, headers={"X-Forwarded-For": stranger}, data=b"{}")).refused("forbidden", 403)
    if path != UPDATE_CONFIG:
        enveloped(await proxied.call(method, path, headers={"X-Forwarded-For": HOST}, json={}), "0002")


async def test_switches_are_opened_apart_from_trade(shop: Shop, proxied: OldMall) -> None:
    await proxied.lock(lock_request(await shop.sell()))
    switch = {"key": "downgradeSwitch", "value": "1"}
    (await proxied.call("GET", UPDATE_CONFIG, params=switch)).refused("forbidden", 403)


async def test_a_listed_page_asks_for_prices_from_anywhere_and_for_nothing_else(shop: Shop, proxied: OldMall) -> None:
    offer = await shop.sell()
    locked = lock_request(offer)
    await proxied.lock(locked)
    of_page = {"Origin": PAGE, "X-Forwarded-For": "203.0.113.5", "Host": "shop.example"}
    body = {"source": SOURCE, "channel": CHANNEL, "goodsId": offer.goods_id, "userId": locked["userId"]}

    asks = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type,x-requested-with"}
    preflight = await proxied.call("OPTIONS", CONFIG, headers=of_page | asks)
    assert (preflight.status, preflight.body) == (204, b"")
    assert preflight.headers["Access-Control-Allow-Origin"] == PAGE
    assert preflight.headers["Access-Control-Allow-Methods"] == "POST"
    assert preflight.headers["Access-Control-Allow-Headers"] == "content-type,x-requested-with"
    assert preflight.headers["Vary"] == "Origin"

    answer = await proxied.call("POST", CONFIG, headers=of_page, json=body)
    assert answer.headers["Access-Control-Allow-Origin"] == PAGE
    [team] = enveloped(answer)["teamList"]
    assert (team["userId"], team["outTradeNo"]) == (locked["userId"], None), "a page can name any buyer"
    for wrong, code in ((body | {"source": "s02"}, "E0002"), ({}, "0002")):
        refused = await proxied.call("POST", CONFIG, headers=of_page, json=wrong)
        enveloped(refused, code)
        assert refused.headers["Access-Control-Allow-Origin"] == PAGE

    for path in (LOCK, SETTLE, REFUND):
        (await proxied.call("POST", path, headers={"Origin": PAGE}, data=b"{}")).refused("forbidden", 403)
        (await proxied.call("OPTIONS", path, headers={"Origin": PAGE} | asks)).refused("method_not_allowed", 405)
    for origin in ("https://elsewhere.example", "null"):
        for method in ("POST", "OPTIONS"):
            refused = await proxied.call(method, CONFIG, headers={"Origin": origin} | asks, json=body)
            refused.refused("forbidden", 403)
            assert "Access-Control-Allow-Origin" not in refused.headers


@pytest.mark.parametrize(
    ("left", "text"),
    [(0, "00:00:00"), (-5, "00:00:00"), (61.9, "00:01:01"), (86399, "23:59:59"), (94000, "26:06:40"), (360000, "100:00:00")],
)
def test_a_countdown_has_all_its_hours(left: float, text: str) -> None:
    moment = now()
    assert countdown(moment + timedelta(seconds=left), moment) == text
