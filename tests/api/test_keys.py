"""Who may call what."""

import pytest

from tests.api.caller import Answer, Caller
from tests.api.calls import CALLS
from tests.api.shop import Shop

pytestmark = pytest.mark.usefixtures("one_line_and_nothing_written")

MALL_CALLS = [
    ("POST", "/v1/quotes"),
    ("POST", "/v1/orders"),
    ("GET", "/v1/orders?user_id=u"),
    ("GET", "/v1/orders/trade-1"),
    ("POST", "/v1/orders/trade-1/payment"),
    ("GET", "/v1/teams/team-1"),
    ("GET", "/v1/events"),
    ("POST", "/v1/events/test"),
    ("POST", "/v1/events/evt_1/resend"),
]
OPS_CALLS = [
    ("PUT", "/v1/ops/goods/9890001"),
    ("GET", "/v1/ops/goods/9890001"),
    ("POST", "/v1/ops/campaigns"),
    ("GET", "/v1/ops/campaigns"),
    ("GET", "/v1/ops/campaigns/100123"),
    ("PATCH", "/v1/ops/campaigns/100123"),
    ("GET", "/v1/ops/teams"),
    ("GET", "/v1/ops/orders"),
    ("GET", "/v1/ops/teams/team-1"),
    ("POST", "/v1/ops/teams/team-1/extend"),
    ("POST", "/v1/ops/teams/team-1/complete"),
    ("POST", "/v1/ops/teams/team-1/close"),
    ("PUT", "/v1/ops/audiences/vip"),
    ("GET", "/v1/ops/audiences"),
    ("GET", "/v1/ops/audiences/vip"),
    ("POST", "/v1/ops/audiences/vip/members"),
    ("GET", "/v1/ops/audiences/vip/members/u1"),
    ("POST", "/v1/ops/audiences/vip/rule"),
    ("GET", "/v1/ops/invariants"),
    ("GET", "/v1/ops/audit"),
    ("GET", "/v1/ops/switches"),
    ("PUT", "/v1/ops/switches/rollout"),
    ("GET", "/v1/ops/malls"),
    ("PUT", "/v1/ops/malls/s77"),
    ("POST", "/v1/ops/malls/s77/webhook_secrets"),
    ("GET", "/v1/ops/keys"),
    ("POST", "/v1/ops/keys"),
    ("GET", "/v1/ops/callbacks"),
    ("GET", "/v1/ops/callbacks/evt_1"),
    ("POST", "/v1/ops/callbacks/resend"),
    ("POST", "/v1/ops/callbacks/evt_1/resend"),
    ("GET", "/v1/ops/attention"),
    ("POST", "/v1/ops/attention/callback/evt_1/resolve"),
]
BODIES = {path: body for _, path, body in CALLS.values()}


async def ask(who: Caller, method: str, path: str) -> Answer:
    return await who.call(method, path) if method == "GET" else await who.call(method, path, json=BODIES.get(path, {}))


async def test_a_key_of_operations_is_no_mall_s(shop: Shop, subtests: pytest.Subtests) -> None:
    for method, path in MALL_CALLS:
        with subtests.test(f"{method} {path}"):
            (await ask(shop.ops, method, path)).refused("forbidden", 403)


async def test_a_mall_s_key_is_none_of_operations(shop: Shop, subtests: pytest.Subtests) -> None:
    for method, path in OPS_CALLS:
        with subtests.test(f"{method} {path}"):
            (await ask(shop.mall, method, path)).refused("forbidden", 403)


async def test_without_a_key_nothing_is_done(shop: Shop, subtests: pytest.Subtests) -> None:
    for method, path in [*MALL_CALLS, *OPS_CALLS]:
        with subtests.test(f"{method} {path}"):
            answer = await ask(shop.mall.with_key(None), method, path)
            answer.refused("unauthorized", 401)
            assert answer.headers["WWW-Authenticate"] == "Bearer"


UNKNOWN = [
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
]


async def test_an_unknown_key_is_refused(shop: Shop, subtests: pytest.Subtests) -> None:
    for authorization in UNKNOWN:
        with subtests.test(ascii(authorization)[:24]):
            headers = {"Authorization": authorization}
            answer = await shop.mall.with_key(None).call("GET", "/v1/orders/x", headers=headers)
            answer.refused("unauthorized", 401)
