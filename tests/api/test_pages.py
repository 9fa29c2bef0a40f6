"""The pages of the API load everything from the API itself, and may load nothing else."""

import hashlib
from pathlib import Path

import pytest
from playwright.async_api import Browser

from tests.api.caller import Caller
from tests.api.shop import Shop
from tests.browser import needs_chromium, open_page

ASSETS = Path(__file__).parents[2] / "api" / "assets"
BROWSER = {"Accept": "text/html,*/*"}


def test_assets_are_as_they_were_published() -> None:
    files = sorted(ASSETS.glob("*/*"))
    found = [f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.relative_to(ASSETS)}" for file in files]
    assert found == (ASSETS / "SHA256SUMS").read_text().splitlines()
    assert all((file.parent / "LICENSE").is_file() for file in files)


@pytest.fixture
def nobody(shop: Shop) -> Caller:
    return shop.mall.with_key(None)


async def test_pages_are_framed_by_nobody_and_run_nothing_of_others(nobody: Caller) -> None:
    for path in ("/docs", "/redoc", "/problems", "/problems/not_found"):
        answer = await nobody.call("GET", path, headers=BROWSER)
        assert answer.status == 200
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        policy = dict(part.strip().partition(" ")[::2] for part in answer.headers["Content-Security-Policy"].split(";"))
        assert policy["frame-ancestors"] == "'none'"
        assert (policy["default-src"], policy["script-src"]) == ("'none'", "'self'")
        assert "unsafe" not in str(policy)
    for path in ("/assets/pages.css", "/assets/docs.js"):
        answer = await nobody.call("GET", path)
        assert (answer.status, answer.headers["X-Content-Type-Options"]) == (200, "nosniff")
        again = await nobody.call("GET", path, headers={"If-None-Match": answer.headers["ETag"]})
        assert (again.status, again.body) == (304, b"")
    for path in ("/assets", "/assets/", "/assets/none.js", "/assets/..%2fapp.py", "/assets/swagger-ui-5.35.0"):
        (await nobody.get(path)).refused("not_found", 404)


async def test_every_answer_keeps_browsers_from_guessing_its_type(shop: Shop, nobody: Caller) -> None:
    for caller, path in ((shop.mall, "/v1/events"), (nobody, "/v1/events"), (nobody, "/none"), (nobody, "/openapi.json")):
        assert (await caller.get(path)).headers["X-Content-Type-Options"] == "nosniff"
    too_large = await shop.mall.call("POST", "/v1/quotes", data=b" " * 70_000)
    assert (too_large.status, too_large.headers["X-Content-Type-Options"]) == (413, "nosniff")


async def test_a_path_with_a_slash_more_is_another_path(shop: Shop, nobody: Caller) -> None:
    for path in ("/docs/", "/problems/", "/healthz/", "/v1/orders/T1/", "/v1/events/"):
        (await nobody.call("GET", path, allow_redirects=False)).refused("not_found", 404)
    for path in ("/v1/quotes/", "/v1/orders/", "/v1/ops/keys/"):
        (await shop.mall.call("POST", path, json={}, allow_redirects=False)).refused("not_found", 404)


@needs_chromium
async def test_a_browser_shows_them_from_one_origin(browser: Browser, nobody: Caller) -> None:
    for path, shown in (
        ("/docs", "/v1/orders/{out_trade_no}/payment"),
        ("/redoc", "webhook-signature"),
        ("/problems", "take_limit_reached"),
        ("/problems/take_limit_reached", "All problems"),
    ):
        requested: list[str] = []
        async with open_page(browser, "about:blank") as page:
            page.on("request", lambda request: requested.append(request.url))  # noqa: B023 - of this turn
            await page.goto(nobody.base_url + path)
            await page.get_by_text(shown).first.wait_for()
            await page.wait_for_load_state("networkidle")
        assert len(requested) >= 2
        assert [url for url in requested if not url.removeprefix("blob:").startswith(f"{nobody.base_url}/")] == []
