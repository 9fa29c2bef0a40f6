"""The original's wire format has no keys: who may use it."""

from datetime import timedelta
from ipaddress import ip_network

import pytest
from starlette.datastructures import Headers

from api.legacy.answers import countdown
from api.legacy.ip_allowlist import require_allowed_address
from domain.errors import ErrorCode, Refusal
from settings import Settings
from tests.api.legacy.client import BASE, CONFIG, LOCK, REFUND, SETTLE, UPDATE_CONFIG, OldMall
from tests.api.shop import Shop, now

HOME, OFFICE, PROXIES = ip_network("127.0.0.0/8"), ip_network("10.1.0.0/16"), [ip_network("10.9.0.0/24")]


def is_let_in(peer: str | None, headers: dict[str, str], *, behind_proxies: bool = False) -> bool:
    try:
        require_allowed_address(peer, Headers(headers), [HOME, OFFICE], PROXIES if behind_proxies else [])
    except Refusal as refusal:
        return refusal.code is not ErrorCode.FORBIDDEN
    return True


@pytest.mark.parametrize(
    ("peer", "headers", "expected"),
    [
        ("127.0.0.1", {}, True),
        ("::ffff:127.0.0.1", {}, True),
        ("10.1.2.3", {}, True),
        ("10.2.0.1", {}, False),
        ("::1", {}, False),
        (None, {}, False),
        ("testclient", {}, False),
        ("127.0.0.1", {"X-Forwarded-For": "127.0.0.1"}, False),
        ("127.0.0.1", {"Forwarded": "for=127.0.0.1"}, False),
        ("127.0.0.1", {"X-Real-IP": "127.0.0.1"}, False),
        ("127.0.0.1", {"Via": "1.1 proxy"}, False),
    ],
)
def test_without_a_proxy_only_who_calls_himself(peer: str | None, headers: dict[str, str], expected: bool) -> None:
    assert is_let_in(peer, headers) is expected


@pytest.mark.parametrize(
    ("peer", "forwarded_for", "expected"),
    [
        ("10.9.0.1", "10.1.2.3", True),
        ("10.9.0.1", "203.0.113.5, 10.1.2.3", True),
        ("10.9.0.1", "10.1.2.3, 203.0.113.5", False),
        ("10.9.0.1", "10.1.2.3, 10.9.0.2", True),
        ("10.9.0.1", "203.0.113.5", False),
        ("10.9.0.1", "unknown", False),
        ("10.9.0.1", "", False),
        ("10.1.2.3", "10.1.2.3", False),
        ("203.0.113.5", "127.0.0.1", False),
    ],
)
def test_a_trusted_proxy_is_believed_and_nobody_before_it(peer: str, forwarded_for: str, expected: bool) -> None:
    assert is_let_in(peer, {"X-Forwarded-For": forwarded_for}, behind_proxies=True) is expected


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"Sec-Fetch-Site": "cross-site"}, False),
        ({"Sec-Fetch-Site": "none"}, True),
        ({"Origin": "https://elsewhere.example", "Host": "127.0.0.1:8000"}, False),
        ({"Origin": "null", "Host": "127.0.0.1:8000"}, False),
        ({"Origin": "http://renamed.example:8000", "Host": "renamed.example:8000"}, False),
        ({"Sec-Fetch-Site": "same-origin"}, False),
    ],
)
def test_a_page_cannot_call_through_a_browser_but_its_user_can(headers: dict[str, str], expected: bool) -> None:
    assert is_let_in("127.0.0.1", headers) is expected


@pytest.mark.parametrize("path", [CONFIG, LOCK, SETTLE, REFUND, UPDATE_CONFIG])
async def test_what_was_forwarded_is_refused(shop: Shop, path: str) -> None:
    method = "GET" if path == UPDATE_CONFIG else "POST"
    answer = await OldMall(shop).call(method, path, headers={"X-Forwarded-For": "127.0.0.1"}, data=b"{}")
    answer.refused("forbidden", 403)
    assert path.startswith(BASE)


def test_networks_are_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GROUPBUY_DATABASE_URL", "postgresql:///")
    assert [str(network) for network in Settings().original_networks] == ["127.0.0.0/8", "::1/128"]
    monkeypatch.setenv("GROUPBUY_ORIGINAL_NETWORKS", "10.0.0.0/8, fd00::/8")
    monkeypatch.setenv("GROUPBUY_TRUSTED_PROXIES", "")
    assert [str(network) for network in Settings().original_networks] == ["10.0.0.0/8", "fd00::/8"]
    assert Settings().trusted_proxies == ()


@pytest.mark.parametrize(
    ("left", "text"),
    [(0, "00:00:00"), (-5, "00:00:00"), (61.9, "00:01:01"), (86399, "23:59:59"), (94000, "26:06:40"), (360000, "100:00:00")],
)
def test_a_countdown_has_all_its_hours(left: float, text: str) -> None:
    moment = now()
    assert countdown(moment + timedelta(seconds=left), moment) == text
