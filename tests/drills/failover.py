"""PostgreSQL's primary goes away under load, and its standby takes over: `make drill-failover`.

The primary's machine loses its power; it vanishes without a word; it is stopped by an operator; the standby is away instead.
Each time every order that was answered is there, every team that was begun completes and is told of once, and the invariants
hold.
"""

import asyncio
import shutil
import sys
import tempfile
import warnings
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

from embedded.plan import Options
from embedded.ports import HOST
from embedded.stack import Stack
from tests.api.caller import Caller, http_session
from tests.api.receiver import listening
from tests.api.shop import Shop
from tests.drills.observed import ObservedCrowd
from tests.drills.replicated import Server, replicated
from tests.line import Line
from tests.stack_fixture import environment

NOTICED_AFTER = 3.0
"""seconds until whoever watches PostgreSQL is sure that the primary is gone, and promotes the standby"""
STANDBY_AWAY = 15.0
"""seconds"""
BEFORE, AFTER = 20, 60
"""teams"""


async def lose_power(primary: Server, standby: Server, _line: Line) -> str:
    await primary.lose_power()
    await asyncio.sleep(NOTICED_AFTER)
    await standby.run("SELECT pg_promote()")
    return f"the primary loses its power; after {NOTICED_AFTER:g} s the standby is promoted; the URL names both"


async def vanish(primary: Server, standby: Server, line: Line) -> str:
    line.freeze()
    await asyncio.sleep(NOTICED_AFTER)
    await primary.lose_power()  # fenced: nobody must write to it any more
    await standby.run("SELECT pg_promote()")
    await line.move(HOST, standby.port)
    return (
        f"the primary answers nobody; after {NOTICED_AFTER:g} s it is fenced, the standby promoted, and the address moved to it"
    )


async def switch_over(primary: Server, standby: Server, line: Line) -> str:
    await primary.stop()
    await standby.run("SELECT pg_promote()")
    await line.move(HOST, standby.port)
    return "the primary is stopped, the standby promoted, and the address moved to it"


async def lose_standby(_primary: Server, standby: Server, _line: Line) -> str:
    await standby.stop()
    await asyncio.sleep(STANDBY_AWAY)
    await standby.start()
    return f"the standby is away for {STANDBY_AWAY:g} s: what would be lost with the primary is not answered"


STORIES = (lose_power, vanish, switch_over, lose_standby)


async def drill(story: int) -> None:
    happens = STORIES[story]
    folder = Path(tempfile.mkdtemp(prefix="groupbuy-drill-"))
    try:
        async with replicated(folder) as (primary, standby), Line(HOST, primary.port) as line:
            both = f"{HOST}:{primary.port},{HOST}:{standby.port}"
            address = both if happens is lose_power else f"{HOST}:{line.port}"
            url = f"postgresql://postgres@{address}/groupbuy?target_session_attrs=read-write"
            async with platform(folder / "data", url) as stack, http_session() as http:
                there = stack.addresses
                mall, ops = (Caller(http, there.api_url, key) for key in (there.mall_key, there.ops_key))
                shop = Shop(mall, ops, other_mall=mall.with_key(None))
                async with (
                    listening(there.webhook_secret) as receiver,
                    ObservedCrowd(shop, await shop.sell(take_limit=2), receiver) as crowd,
                ):
                    await crowd.completes_teams(BEFORE)
                    crowd.begin()
                    print(f"{story + 1}. {await happens(primary, standby, line)}", flush=True)  # noqa: T201
                    promoted = crowd.now()
                    await crowd.completes_teams(AFTER)
                    await crowd.finish()
                    print(f"{crowd.report(promoted)}\n{crowd.outcome()}", flush=True)  # noqa: T201
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@asynccontextmanager
async def platform(data: Path, database_url: str) -> AsyncIterator[Stack]:
    options = Options(data_dir=data, database_url=database_url, use_external_database=True, workers=2)
    with environment(GROUPBUY_DATABASE_PLAINTEXT="true"):  # of a URL with several hosts nobody knows that it is this machine
        async with Stack(options) as stack:
            yield stack


async def main(stories: Iterable[int]) -> None:
    warnings.simplefilter("ignore")  # of PostgreSQL's package, about a variable that is not used
    for story in stories:
        await drill(story)


if __name__ == "__main__":
    chosen = [int(number) - 1 for number in sys.argv[1:]]
    asyncio.run(main(chosen or range(len(STORIES))))
