"""Every process is restarted under load, one after the other, as an upgrade does it: `make drill-restarts`.

Two APIs behind what stands for a proxy, two workers, PostgreSQL, Temporal, and RabbitMQ, over which all callbacks go. Then
every order that was answered is there, every team that was begun completes and is told of once, and the invariants hold.
"""

import asyncio
import itertools
import warnings
from contextlib import AsyncExitStack
from typing import Any

import aiohttp

from embedded.http import responds
from embedded.plan import Options
from embedded.ports import HOST, free_port
from embedded.stack import Stack
from embedded.supervisor import Keeper, Part
from tests.api.caller import Answer, Caller, http_session
from tests.api.receiver import listening
from tests.api.shop import Shop
from tests.drills.observed import ObservedCrowd
from tests.drills.queue import consuming
from tests.soak.broker import find_broker, running_broker
from tests.stack_fixture import data_dir, environment

PRE_STOP = 2.0
"""seconds between the moment at which a proxy sends an API nothing more and its SIGTERM"""
BETWEEN = 15
"""teams that are completed after each restart, before the next one"""
SECOND_API, BROKER = "api-2", "rabbitmq"


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


async def restart(stack: Stack, broker: Keeper | None, name: str, proxy: Proxy) -> None:
    taken_out = proxy.apis.pop(name, None)
    if taken_out is not None:
        await asyncio.sleep(PRE_STOP)
    if broker is not None and name == BROKER:
        await broker.stop()
        await broker.start()
    else:
        await stack.stop_part(name)
        await stack.start_part(name)
    if taken_out is not None:
        proxy.apis[name] = taken_out


async def drill(stack: Stack, broker: Keeper | None, broker_url: str, http: aiohttp.ClientSession) -> None:
    there = stack.addresses
    urls = {"api": there.api_url, SECOND_API: await start_second_api(stack)}
    proxy = Proxy({name: Caller(http, url, there.mall_key) for name, url in urls.items()})
    ops = Caller(http, there.api_url, there.ops_key)
    shop = Shop(proxy, ops, other_mall=ops)
    secret = there.webhook_secret
    async with (
        consuming(broker_url, secret) if broker else listening(secret) as receiver,
        ObservedCrowd(shop, await shop.sell(take_limit=2), receiver) as crowd,
    ):
        await crowd.completes_teams(BETWEEN)
        for name in (*urls, "worker-1", "worker-2", "postgres", "temporal", *[BROKER] * bool(broker)):
            crowd.begin()
            await restart(stack, broker, name, proxy)
            over = crowd.now()
            await crowd.completes_teams(BETWEEN)
            print(f"{name} is restarted\n{crowd.report(over)}", flush=True)  # noqa: T201
        await crowd.finish()
        print(crowd.outcome())  # noqa: T201
    await stack.stop_part(SECOND_API)


async def main() -> None:
    warnings.simplefilter("ignore")  # of PostgreSQL's package, about a variable that is not used
    async with AsyncExitStack() as parts:
        data, broker_data = parts.enter_context(data_dir()), parts.enter_context(data_dir())
        broker, url = None, ""
        if server := find_broker():
            broker, url = await parts.enter_async_context(running_broker(server, broker_data))
        else:
            print("RabbitMQ is not installed: callbacks go over HTTP")  # noqa: T201
        parts.enter_context(environment())
        stack = await parts.enter_async_context(Stack(Options(data_dir=data, workers=2, amqp_url=url or None)))
        await drill(stack, broker, url, await parts.enter_async_context(http_session()))


if __name__ == "__main__":
    asyncio.run(main())
