"""Open pages are told of changes of their team, also of one that came before they listened."""

import asyncio
import re

from tests.api.console.conftest import SignIn
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
