"""Open pages are told of changes of their team, also of one that came before they listened."""

import asyncio
import re
import signal
from collections.abc import Awaitable, Callable

from embedded.stack import Stack
from tests.api.another_api import api_process
from tests.api.console.conftest import Person, SignIn
from tests.api.shop import Shop

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


async def test_changes_are_of_a_team_and_for_who_is_signed_in(sign_in: SignIn) -> None:
    ann = await sign_in("read")
    assert (await ann.get("/teams/none/changes")).status == 404
    ann.http.cookie_jar.clear()
    assert (await ann.get("/teams/none/changes")).status == 303


async def test_an_open_page_holds_up_no_stop(shop: Shop, stack: Stack, visitor: Callable[[], Awaitable[Person]]) -> None:
    order = await (await shop.sell()).seat()
    secret = "a secret of another process, long enough"
    async with api_process(stack, shop.ops, GROUPBUY_CONSOLE_SECRET=secret) as (there, process):
        ann = Person((await visitor()).http, f"{there.base_url}/console")
        await ann.sign_in(shop.ops.key or "")
        async with ann.http.get(f"{there.base_url}/console/teams/{order['team_id']}/changes?seen=0") as stream:
            await stream.content.readline()
            process.terminate()
            async with asyncio.timeout(2):
                await process.wait()
        assert process.returncode == -signal.SIGTERM  # which uvicorn raises again after it has stopped
