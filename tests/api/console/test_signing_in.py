"""Signing in: with a key of operations, for as long as it is valid, and from the console's own pages alone."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

import aiohttp
import pytest

from console.attempts import FAILURES
from console.cookies import SESSION_COOKIE
from console.sessions import IDLE, Session, Signer
from embedded.stack import Stack
from tests.api.console.conftest import Person, SignIn
from tests.api.shop import Shop, fresh

Visit = Callable[[], Awaitable[Person]]
PAGES = (
    "/", "/attention", "/teams", "/orders", "/refunds", "/callbacks", "/settlements", "/exports", "/campaigns", "/goods",
    "/audiences", "/switches", "/audit", "/malls", "/keys",
)  # fmt: skip


async def test_a_page_needs_a_session(visitor: Visit) -> None:
    nobody = await visitor()
    answers = {path: await nobody.get(path) for path in PAGES}
    assert {path for path, answer in answers.items() if answer.location.partition("?")[0] != "/console/sign-in"} == set()
    assert {answer.status for answer in answers.values()} == {303}


async def test_the_session_is_a_cookie_for_this_site_alone(visitor: Visit, shop: Shop) -> None:
    person = await visitor()
    answer = await person.sign_in(shop.ops.key or "")
    assert (answer.status, answer.location) == (303, "/console/")
    cookie = answer.headers["Set-Cookie"]
    assert cookie.startswith("groupbuy_console=")
    assert {"HttpOnly", "SameSite=Strict", "Path=/console"} <= set(cookie.split("; "))
    assert "Secure" not in cookie  # this connection has no TLS
    assert (await person.get("/")).status == 200


async def test_only_a_key_of_operations_signs_in(visitor: Visit, shop: Shop) -> None:
    person = await visitor()
    for key in ("", "x", "gb_ops_" + "0" * 36, shop.mall.key or ""):
        answer = await person.sign_in(key)
        assert (answer.status, "Set-Cookie" in answer.headers) == (401, False)


async def test_an_address_that_fails_too_often_has_to_wait(stack: Stack, shop: Shop) -> None:
    elsewhere = aiohttp.TCPConnector(local_addr=("127.0.0.77", 0))  # an address of its own: the other tests sign in
    async with aiohttp.ClientSession(connector=elsewhere) as http:
        person = Person(http, stack.addresses.console_url)
        assert {(await person.sign_in("x")).status for _ in range(FAILURES)} == {401}
        answer = await person.sign_in(shop.ops.key or "")
        assert (answer.status, "Set-Cookie" in answer.headers) == (429, False)


async def test_who_was_away_for_too_long_signs_in_again(visitor: Visit, stack: Stack, shop: Shop) -> None:
    key = (await shop.ops.post("/v1/ops/keys", {"name": fresh("person"), "scopes": ["read"]})).ok(201)
    signer = Signer(stack._plan.keys.console_secret, timedelta(hours=12))
    person = await visitor()
    for away, status in ((timedelta(), 200), (IDLE + timedelta(seconds=1), 303)):
        session = Session.begin(key["key_id"], datetime.now(UTC) - away)
        answer = await person.get("/teams", Cookie=f"{SESSION_COOKIE}={signer.write_session(session)}")
        assert answer.status == status
    assert answer.location == "/console/sign-in?after=%2Fconsole%2Fteams"


async def test_the_audit_has_who_signed_in_and_out_and_when(sign_in: SignIn) -> None:
    name = fresh("ann")
    ann = await sign_in("read", name)
    token = (await ann.get("/switches")).hidden()["form_token"]
    await ann.post("/sign-out", {"form_token": token})
    bob = await sign_in("read")
    page = await bob.get(f"/audit?changed_by={name}")
    assert "Signed in as viewer." in page.text
    assert "Signed out." in page.text
    now = datetime.now(UTC)
    for since, until, is_there in (
        (now - timedelta(hours=1), now + timedelta(hours=1), True),
        (now + timedelta(hours=1), now + timedelta(hours=2), False),
        (now - timedelta(hours=2), now - timedelta(hours=1), False),
    ):
        query = f"changed_by={name}&since={since:%Y-%m-%dT%H:%M}&until={until:%Y-%m-%dT%H:%M:%S}"
        for path in ("/audit", "/audit.csv"):
            answer = await bob.get(f"{path}?{query}")
            assert (answer.status, "Signed out." in answer.text) == (200, is_there)
    assert (await bob.get("/audit?since=yesterday")).status == 422


async def test_a_revoked_key_ends_its_sessions(visitor: Visit, shop: Shop) -> None:
    key = (await shop.ops.post("/v1/ops/keys", {"name": fresh("person"), "scopes": ["read"]})).ok(201)
    person = await visitor()
    await person.sign_in(key["key"])
    assert (await person.get("/teams")).status == 200
    (await shop.ops.call("DELETE", f"/v1/ops/keys/{key['key_id']}")).ok()
    assert (await person.get("/teams")).status == 303


async def test_signing_out_ends_the_session(sign_in: SignIn) -> None:
    person = await sign_in("read")
    token = (await person.get("/switches")).hidden()["form_token"]
    assert (await person.post("/sign-out", {"form_token": token})).status == 303
    assert (await person.get("/")).status == 303


async def test_after_signing_in_the_page_that_was_wanted_is_shown(visitor: Visit, shop: Shop) -> None:
    person = await visitor()
    for wanted, shown in (
        ("/console/teams?status=forming", "/console/teams?status=forming"),
        ("https://elsewhere.example/console/", "/console/"),
        ("//elsewhere.example/console/", "/console/"),
        ("/console/\\\\elsewhere.example", "/console/"),
        ("/v1/orders", "/console/"),
    ):
        answer = await person.post("/sign-in", {"key": shop.ops.key or "", "after": wanted})
        assert answer.location == shown


async def test_a_form_of_another_session_or_site_is_refused(sign_in: SignIn) -> None:
    person, other = await sign_in(), await sign_in()
    form = (await person.get("/switches/rollout")).hidden() | {"value": "100"}
    foreign = (await other.get("/switches/rollout")).hidden() | {"value": "100"}
    assert (await person.post("/switches/rollout", {"value": "100"})).status == 403
    assert (await person.post("/switches/rollout", foreign)).status == 403
    assert (await person.post("/switches/rollout", form, Sec_Fetch_Site="cross-site")).status == 403
    assert (await person.post("/sign-in", {"key": "x"}, Sec_Fetch_Site="cross-site")).status == 403
    assert (await person.post("/switches/rollout", form, Sec_Fetch_Site="same-origin")).status == 303


async def test_pages_are_kept_nowhere_and_run_nothing_of_others(visitor: Visit, sign_in: SignIn) -> None:
    for answer in (
        await (await visitor()).get("/sign-in"),
        await (await sign_in("read")).get("/"),
        await (await visitor()).get("/x"),
    ):
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        policy = dict(part.strip().partition(" ")[::2] for part in answer.headers["Content-Security-Policy"].split(";"))
        assert (policy["default-src"], policy["script-src"], policy["form-action"]) == ("'none'", "'self'", "'self'")
        assert policy["frame-ancestors"] == "'none'"
        assert "unsafe" not in str(policy)
        assert "<script>" not in answer.text
        assert " style=" not in answer.text


@pytest.mark.parametrize(
    ("scope", "may", "may_not"),
    [
        ("read", ["/teams", "/audit"], ["/malls", "/keys", "/campaigns/new", "/switches/suspended", "/goods/new"]),
        ("support", ["/orders"], ["/keys", "/campaigns/new", "/switches/suspended"]),
        ("ops", ["/campaigns/new", "/switches/suspended", "/callbacks/resend"], ["/malls", "/keys", "/keys/new"]),
        ("admin", ["/malls", "/keys", "/keys/new", "/campaigns/new"], []),
    ],
)
async def test_a_role_opens_its_pages(sign_in: SignIn, scope: str, may: list[str], may_not: list[str]) -> None:
    person = await sign_in(scope)
    assert {path: (await person.get(path)).status for path in may} == dict.fromkeys(may, 200)
    assert {path: (await person.get(path)).status for path in may_not} == dict.fromkeys(may_not, 403)


async def test_a_viewer_reads_the_api_and_changes_nothing(shop: Shop) -> None:
    key = (await shop.ops.post("/v1/ops/keys", {"name": fresh("viewer"), "scopes": ["read"]})).ok(201)["key"]
    viewer = shop.ops.with_key(key)
    (await viewer.get("/v1/ops/teams")).ok()
    (await viewer.put("/v1/ops/switches/rollout", {"value": 100})).refused("forbidden", 403)
    (await viewer.get("/v1/ops/keys")).refused("forbidden", 403)
