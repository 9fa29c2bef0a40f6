"""Somebody who is signed in to the console in a real browser, and what their pages are checked for."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import axe_playwright_python  # type: ignore[import-untyped]
from fastapi.routing import APIRoute
from playwright.async_api import Browser, ConsoleMessage, Page

from console.cookies import BASE
from console.pages import ROUTERS
from embedded.stack import Stack
from tests.browser import open_page

AXE = (Path(axe_playwright_python.__path__[0]) / "axe.min.js").read_text()
SERIOUS = {"serious", "critical"}
REFUSED = "the server responded with a status of 4"
"""what Chromium also calls an error"""


@asynccontextmanager
async def signed_in(browser: Browser, stack: Stack, path: str = "", *, key: str = "", **options: Any) -> AsyncIterator[Page]:  # noqa: ANN401 - what a context takes
    """A page of the console in a new context of the browser; with the key of the stack's operator, unless another is named."""
    url = stack.addresses.console_url
    errors: list[str] = []

    def hear(message: ConsoleMessage) -> None:
        if message.type == "error" and REFUSED not in message.text:
            errors.append(message.text)

    async with open_page(browser, "about:blank", **options) as page:
        page.on("console", hear)
        answer = await page.request.post(f"{url}sign-in", form={"key": key or stack.addresses.ops_key}, max_redirects=0)
        assert answer.status == 303
        await page.goto(url + path)
        yield page
    assert errors == []


async def barriers(page: Page, part: str = "main") -> list[tuple[str, str]]:
    """What keeps people with a disability from using this part of a page, as axe finds it: rules, and where they are broken."""
    await page.evaluate(AXE)
    run = "part => axe.run(part, {resultTypes: ['violations'], preload: false}).then(each => each.violations)"
    found = await page.evaluate(run, part)
    return [(rule["id"], rule["nodes"][0]["html"]) for rule in found if rule["impact"] in SERIOUS]


def routes_of(method: str, addresses: Iterable[str]) -> set[str]:
    """The console's routes of this method that answer to these addresses."""
    paths = [urlsplit(address).path.removeprefix(BASE) or "/" for address in addresses]
    return {next(route.path for route in _routes(method) if route.path_regex.match(path)) for path in paths}


def all_routes(method: str) -> set[str]:
    return {route.path for route in _routes(method)}


def _routes(method: str) -> list[APIRoute]:
    return [
        route for each in ROUTERS for route in each.routes if isinstance(route, APIRoute) and method in (route.methods or ())
    ]
