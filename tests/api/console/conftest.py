"""Who uses the console over HTTP, as a browser does but without one."""

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from html import unescape

import aiohttp
import pytest

from embedded.stack import Stack
from tests.api.shop import Shop, fresh

HOSTILE = "</td><img src=x onerror=alert(1)>\u202e'\"&{{ 7*7 }}[x](y) 𠮷🍎"
"""what somebody may have called something"""
FIELD = re.compile(r'<input type="hidden" name="([^"]+)" value="([^"]*)">')


@dataclass(frozen=True)
class Answer:
    status: int
    text: str
    headers: Mapping[str, str]
    location: str

    def hidden(self) -> dict[str, str]:
        """The hidden fields of the page's last form, where the act of a page is."""
        last = self.text.rpartition("<form")[2]
        return {name: unescape(value) for name, value in FIELD.findall(last)}


class Person:
    """A browser without scripts; it follows no redirect."""

    def __init__(self, http: aiohttp.ClientSession, console_url: str) -> None:
        self.http = http
        self._url = console_url.rstrip("/")

    async def get(self, path: str, **headers: str) -> Answer:
        return await self._call("GET", path, headers)

    async def post(self, path: str, fields: dict[str, str], **headers: str) -> Answer:
        return await self._call("POST", path, headers, fields)

    async def sign_in(self, key: str) -> Answer:
        return await self.post("/sign-in", {"key": key})

    async def act(self, path: str, **fields: str) -> Answer:
        """Opens the page of an act, fills its form in and sends it."""
        asked = await self.get(path)
        assert asked.status == 200, asked.text
        return await self.post(path, asked.hidden() | fields)

    async def _call(self, method: str, path: str, headers: dict[str, str], fields: dict[str, str] | None = None) -> Answer:
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        async with self.http.request(method, self._url + path, headers=names, data=fields, allow_redirects=False) as response:
            text = await response.text()
            return Answer(response.status, text, response.headers, response.headers.get("Location", ""))


SignIn = Callable[..., Awaitable[Person]]


@pytest.fixture
async def visitor(stack: Stack) -> AsyncIterator[Callable[[], Awaitable[Person]]]:
    """Somebody who has not signed in."""
    async with AsyncExitStack() as sessions:

        async def visit() -> Person:
            http = aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True))  # also of an IP address
            return Person(await sessions.enter_async_context(http), stack.addresses.console_url)

        yield visit


@pytest.fixture
def sign_in(visitor: Callable[[], Awaitable[Person]], shop: Shop) -> SignIn:
    """Signs somebody in with a new key of this scope."""

    async def sign_in(scope: str = "admin", name: str | None = None) -> Person:
        new = {"name": name or fresh("person"), "scopes": [scope]}
        key = (await shop.ops.post("/v1/ops/keys", new)).ok(201)["key"]
        person = await visitor()
        assert (await person.sign_in(key)).status == 303
        return person

    return sign_in
