"""Signing in with an OpenID Connect provider, as a browser does it: there and back, with a role and a name in the audit."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

import aiohttp
import pytest

from embedded.ports import HOST, free_port
from embedded.stack import Stack
from tests.api.another_api import api_process
from tests.api.console.conftest import FIELD, Answer, Person
from tests.api.shop import Shop, fresh
from tests.oidc import CLIENT_ID, CLIENT_SECRET, OidcProvider, running_provider


@dataclass(frozen=True)
class Elsewhere:
    """A console that is registered with a provider."""

    provider: OidcProvider
    visit: Callable[[], Person]

    async def sign_in(self, subject: str, after: str = "") -> tuple[Person, Answer]:
        person = self.visit()
        led = await person.get(f"/sign-in/provider?after={after}")
        assert led.location.startswith(self.provider.issuer)
        back = await self.provider.sign_in(led.location, subject)
        return person, await person.get(_path(back))


def _path(address: str) -> str:
    parts = urlsplit(address)
    return f"{parts.path.removeprefix('/console')}?{parts.query}"


@pytest.fixture
async def elsewhere(stack: Stack, shop: Shop) -> AsyncIterator[Elsewhere]:
    port = free_port()
    sessions: list[aiohttp.ClientSession] = []
    console = f"http://{HOST}:{port}/console/"

    def visit() -> Person:
        http = aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True))
        sessions.append(http)
        return Person(http, console)

    async with running_provider() as provider:
        settings = {
            "GROUPBUY_API_PORT": str(port),
            "GROUPBUY_CONSOLE_SECRET": stack._plan.keys.console_secret,
            "GROUPBUY_CONSOLE_URL": console,
            "GROUPBUY_OIDC_ISSUER": provider.issuer,
            "GROUPBUY_OIDC_CLIENT_ID": CLIENT_ID,
            "GROUPBUY_OIDC_CLIENT_SECRET": CLIENT_SECRET,
            "GROUPBUY_OIDC_ROLES_CLAIM": "groups",
            "GROUPBUY_OIDC_ROLES": "viewer=staff, operator=campaigns",
        }
        async with api_process(stack, shop.ops, **settings):
            yield Elsewhere(provider, visit)
        for session in sessions:
            await session.close()


async def test_people_sign_in_with_their_provider(elsewhere: Elsewhere, shop: Shop) -> None:
    ann = fresh("ann")
    name = f"{ann}@example.com"
    elsewhere.provider.claims[ann] = {"preferred_username": name, "groups": ["staff", "campaigns"]}
    assert "/console/sign-in/provider" in (await elsewhere.visit().get("/sign-in")).text
    operator, back = await elsewhere.sign_in(ann, after="/console/teams")
    assert (back.status, 'content="0;url=/console/teams"' in back.text) == (200, True)
    cookies = back.headers.getall("Set-Cookie")  # type: ignore[attr-defined]
    assert [("SameSite=Strict" in each, "HttpOnly" in each) for each in cookies if "groupbuy_console=" in each] == [
        (True, True)
    ]
    assert name in (await operator.get("/teams")).text
    assert ((await operator.get("/malls")).status, (await operator.get("/sign-in")).status) == (403, 303)
    order = await (await shop.sell()).seat()
    assert (await operator.act(f"/teams/{order['team_id']}/close", reason="closed by name")).status == 303
    (closed,) = (await shop.ops.get("/v1/ops/audit", subject=f"team/{order['team_id']}")).ok()["data"]
    assert (closed["changed_by"], closed["key_id"], closed["via"]) == (name, f"oidc:{ann}", "console")
    assert (await operator.post("/sign-out", dict(FIELD.findall((await operator.get("/teams")).text)))).status == 303
    assert (await operator.get("/teams")).status == 303

    nobody = fresh("nobody")
    elsewhere.provider.claims[nobody] = {"groups": ["others"]}
    stranger, back = await elsewhere.sign_in(nobody)
    assert (back.status, "has no role" in back.text) == (403, True)
    assert (await stranger.get("/teams")).status == 303

    viewer, _ = await elsewhere.sign_in(ann)
    other = elsewhere.visit()
    led = await other.get("/sign-in/provider?after=https://evil.example/")
    back_to_other = await elsewhere.provider.sign_in(led.location, ann)
    assert (await elsewhere.visit().get(_path(back_to_other))).status == 401  # a browser that has not asked for it
    assert (await other.get("/sign-in/provider/back?state=x&code=y")).status == 401
    assert (await viewer.get("/teams")).status == 200


async def test_without_a_provider_there_is_none(visitor: Callable[[], Awaitable[Person]]) -> None:
    nobody = await visitor()
    assert "/sign-in/provider" not in (await nobody.get("/sign-in")).text
    assert (await nobody.get("/sign-in/provider")).status == 404
    assert (await nobody.get("/sign-in/provider/back?state=x&code=y")).status == 401
