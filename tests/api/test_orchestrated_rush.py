"""A rush where nothing may go directly: as many are answered as the engine can answer in time, and the others at once."""

import asyncio
import time
from collections import Counter

import asyncpg

from embedded.stack import Stack
from tests.api.another_api import another_api
from tests.api.caller import Answer
from tests.api.polling import until
from tests.api.shop import Shop

WITHIN = 6.0
"""seconds for an answer"""
PROMPT = 0.5
"""seconds that a lock takes where nobody else waits"""
CALLERS, BUYERS, NOBODIES = 32, 700, 30
LEAST_SHARE = 0.5
"""of what the engine can do before and after: on a machine that does other things, too, measurements differ"""


async def test_an_engine_goes_on_at_its_pace_and_nobody_is_served_in_vain(
    stack: Stack, shop: Shop, database: asyncpg.Connection
) -> None:
    settings = {"GROUPBUY_ADMISSION": "orchestrated", "GROUPBUY_ANSWER_WITHIN": str(WITHIN)}
    async with another_api(stack, shop.mall, **settings) as there:
        calm, rush = await shop.sell(), await shop.sell()

        async def take_seat() -> Answer:
            return await there.post("/v1/orders", calm.request())

        async def one_after_the_other() -> int:
            return sum([(await take_seat()).status == 201 for _ in range(3)])

        async def capacity() -> float:
            began = time.monotonic()
            sold = sum(await asyncio.gather(*(one_after_the_other() for _ in range(CALLERS))))
            assert sold > 0.9 * 3 * CALLERS  # the machine does other things, too
            return sold / (time.monotonic() - began)

        before = await capacity()

        callers = [there] * BUYERS + [there.with_key("of nobody")] * NOBODIES
        everybody = await asyncio.gather(*(caller.post("/v1/orders", rush.request()) for caller in callers))
        answers, of_nobody = everybody[:BUYERS], everybody[BUYERS:]
        # The engine still works for those of the rush whose time was over.
        await until(take_seat, lambda answer: answer.status == 201 and answer.seconds < PROMPT, within=60)
        after = await capacity()

    # Most wait in vain at the door, where nobody's key is looked at.
    assert {answer.code for answer in of_nobody} - {"unauthorized"} == {"temporarily_unavailable"}
    sold = [answer for answer in answers if answer.status == 201]
    shed = [answer for answer in answers if answer.status != 201]
    assert Counter(answer.code for answer in shed) == {"temporarily_unavailable": len(shed)}
    assert len(sold) / max(answer.seconds for answer in sold) > LEAST_SHARE * min(before, after)
    assert max(answer.seconds for answer in answers) < 2 * WITHIN  # the machine does other things, too
    assert len({answer.headers["Retry-After"] for answer in shed}) > 3
    teams = await database.fetchval("SELECT count(*) FROM teams WHERE campaign_id = $1", rush.campaign_id)
    assert teams - len(sold) < 0.1 * len(sold)
