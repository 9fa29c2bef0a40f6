"""Every process is restarted under load, one after the other, as an upgrade does it: `make drill-restarts`.

Two APIs behind what stands for a proxy, two workers, PostgreSQL, Temporal. Afterwards every order that was answered is there,
every team that was begun completes and is told of once, and the invariants hold.
"""

import asyncio
import itertools
import warnings
from typing import Any

from embedded.http import responds
from embedded.ports import HOST, free_port
from embedded.stack import Stack
from embedded.supervisor import Part
from tests.api.caller import Answer, Caller, http_session
from tests.api.receiver import listening
from tests.api.shop import Shop
from tests.drills.observed import ObservedCrowd
from tests.stack_fixture import running_stack

PRE_STOP = 2.0
"""seconds between the moment at which a proxy sends an API nothing more and its SIGTERM"""
BETWEEN = 15
"""teams that are completed after each restart, before the next one"""
SECOND_API = "api-2"


class Proxy(Caller):
    """Sends each call to one of the APIs that are in it, in turn."""

    def __init__(self, apis: dict[str, Caller]) -> None:
        self.apis = apis
        self._turns = itertools.count()

    async def call(self, *arguments: Any, **options: Any) -> Answer:  # noqa: ANN401
        apis = list(self.apis.values())
        return await apis[next(self._turns) % len(apis)].call(*arguments, **options)


async def start_second_api(stack: Stack) -> str:
    """Returns its URL."""
    port = free_port()
    url = f"http://{HOST}:{port}"
    own = {"GROUPBUY_API_PORT": str(port), "GROUPBUY_LEGACY_PORT": str(free_port())}
    program = stack._python(SECOND_API, "api", environment={**stack._plan.api_environment(), **own}, stop_within=10)
    await stack._supervisor.start(Part(program, lambda _: responds(f"{url}/readyz")))
    return url


async def restart(stack: Stack, name: str, proxy: Proxy) -> None:
    taken_out = proxy.apis.pop(name, None)
    if taken_out is not None:
        await asyncio.sleep(PRE_STOP)
    await stack.stop_part(name)
    await stack.start_part(name)
    if taken_out is not None:
        proxy.apis[name] = taken_out


async def main() -> None:
    warnings.simplefilter("ignore")  # of PostgreSQL's package, about a variable that is not used
    async with running_stack(workers=2) as stack, http_session() as http:
        there = stack.addresses
        urls = {"api": there.api_url, SECOND_API: await start_second_api(stack)}
        proxy = Proxy({name: Caller(http, url, there.mall_key) for name, url in urls.items()})
        ops = Caller(http, there.api_url, there.ops_key)
        shop = Shop(proxy, ops, other_mall=ops)
        async with (
            listening(there.webhook_secret) as receiver,
            ObservedCrowd(shop, await shop.sell(take_limit=2), receiver) as crowd,
        ):
            await crowd.completes_teams(BETWEEN)
            for name in (*urls, "worker-1", "worker-2", "postgres", "temporal"):
                crowd.begin()
                await restart(stack, name, proxy)
                over = crowd.now()
                await crowd.completes_teams(BETWEEN)
                print(f"{name} is restarted\n{crowd.report(over)}", flush=True)  # noqa: T201
            await crowd.finish()
            print(crowd.outcome())  # noqa: T201
        await stack.stop_part(SECOND_API)


if __name__ == "__main__":
    asyncio.run(main())
