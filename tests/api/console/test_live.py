"""Open pages are told of changes of their team, also of one that came before they listened."""

import asyncio
import re
import signal
from base64 import urlsafe_b64encode
from collections.abc import Awaitable, Callable
from html import unescape

from embedded.stack import Stack
from tests.api.another_api import api_process
from tests.api.console.conftest import Person, SignIn
from tests.api.shop import Shop

OLDER = urlsafe_b64encode(b"2026-01-01T00:00:00Z order").decode()
CHANGES = re.compile(r'data-changes="([^"]+)"')


async def test_a_page_is_told_that_its_team_has_changed(sign_in: SignIn, shop: Shop) -> None:
    offer = await shop.sell()
    order, other = await offer.seat(), await offer.seat()
    ann = await sign_in("read")
    for path in (f"/teams/{order['team_id']}", f"/orders/{order['order_id']}"):
        found = CHANGES.search((await ann.get(path)).text)
        assert found
        joined = await offer.seat(team_id=order["team_id"])
        async with asyncio.timeout(20), ann.http.get(shop.ops.base_url + found[1]) as stream:
            assert (stream.status, stream.content_type) == (200, "text/event-stream")
            heard = (line async for line in stream.content if line.startswith(b"data"))
            assert await anext(heard) == b"data: changed\n"
            next_one = asyncio.create_task(anext(heard))
            await shop.settle(other)
            assert (await asyncio.wait([next_one], timeout=1.5))[0] == set()  # that was another team
            await shop.refund(joined)
            assert await next_one == b"data: changed\n"


async def test_a_list_is_told_that_it_is_not_as_it_was(sign_in: SignIn, shop: Shop) -> None:
    offer, other = await shop.sell(), await shop.sell()
    order = await offer.seat()
    ann = await sign_in("read")
    for path in (f"/teams?campaign_id={offer.campaign_id}", f"/orders?team_id={order['team_id']}&status=locked"):
        found = CHANGES.search((await ann.get(path)).text)
        assert found
        async with asyncio.timeout(20), ann.http.get(shop.ops.base_url + unescape(found[1])) as stream:
            told = asyncio.create_task(anext(line async for line in stream.content if line.startswith(b"data")))
            await other.seat()  # which is in neither list
            assert (await asyncio.wait([told], timeout=0.5))[0] == set()
            await offer.seat(team_id=order["team_id"])
            assert await told == b"data: changed\n"
    for page in ("/", "/attention", "/attention?kind=refund", "/refunds", "/callbacks?status=dead"):
        assert CHANGES.search((await ann.get(page)).text), page
    assert not CHANGES.search((await ann.get(f"/orders?cursor={OLDER}")).text)


async def test_changes_are_told_to_who_is_signed_in(sign_in: SignIn) -> None:
    ann = await sign_in("read")
    ann.http.cookie_jar.clear()
    assert (await ann.get("/changes/team/none")).status == 303


async def test_an_open_page_holds_up_no_stop(shop: Shop, stack: Stack, visitor: Callable[[], Awaitable[Person]]) -> None:
    order = await (await shop.sell()).seat()
    secret = "a secret of another process, long enough"
    async with api_process(stack, shop.ops, GROUPBUY_CONSOLE_SECRET=secret) as (there, process):
        ann = Person((await visitor()).http, f"{there.base_url}/console")
        await ann.sign_in(shop.ops.key or "")
        async with ann.http.get(f"{there.base_url}/console/changes/team/{order['team_id']}?seen=0") as stream:
            await stream.content.readline()
            process.terminate()
            async with asyncio.timeout(2):
                await asyncio.to_thread(process.join)
        assert process.exitcode == -signal.SIGTERM  # which uvicorn raises again after it has stopped
