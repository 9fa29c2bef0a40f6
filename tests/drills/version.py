"""A release whose code does not replay is deployed under load, noticed, and taken back: `make drill-version`.

Teams that version A has begun meet the workers of version B, whose code has a timer that no history has. Prometheus evaluates
the alerts, somebody sets the earlier version as current again. Then every order that was answered is there, every team that was
begun completes and is told of once, and the invariants hold.
"""

import asyncio
import sys
import warnings
from contextlib import AsyncExitStack

from temporalio.client import Client

from embedded import temporal
from embedded.plan import Options
from embedded.ports import free_port
from embedded.stack import Stack, _has_printed_ready
from embedded.supervisor import Part, Program
from tests.api.caller import Caller, http_session
from tests.api.polling import until
from tests.api.receiver import listening
from tests.api.shop import Shop
from tests.deploy.files import MONITORING
from tests.deploy.prometheus import PROMETHEUS, scraping
from tests.deploy.versions import DOES_NOT_REPLAY, DRAINED_SOON, NAME, set_current, until_drained
from tests.drills.observed import ObservedCrowd
from tests.outages.crowd import EVENTUALLY
from tests.stack_fixture import data_dir, environment
from workers.versions import BUILD
from workers.versions import NAME as DEPLOYMENT

ALERT = "GroupbuyDoesNotReplay"
ALERTED_WITHIN = 300.0
REACTS_AFTER = 10.0
"""seconds that whoever is woken by the alert takes"""
BEFORE, AFTER = 20, 40
"""teams"""
FAILING = "WorkflowType = 'TeamWorkflow' AND TemporalReportedProblems IS NOT NULL"
WORKER_B = "worker-b"


async def deploy(stack: Stack, client: Client, metrics_port: int) -> None:
    """Starts a worker of version B, and sets that as the current one."""
    own = {BUILD: "b", "GROUPBUY_METRICS_PORT": str(metrics_port)}
    program = Program(
        name=WORKER_B,
        command=[sys.executable, "-P", "-u", "-c", DOES_NOT_REPLAY],
        environment={**stack._plan.application_environment(), **own},
        cwd=stack._data_dir.path,
        stop_within=6,
    )
    await stack._supervisor.start(Part(program, _has_printed_ready))
    await set_current(client, "b")


async def drill(stack: Stack, crowd: ObservedCrowd, client: Client) -> None:
    async def failing() -> int:
        return (await client.count_workflows(FAILING)).count

    await crowd.completes_teams(BEFORE)
    metrics_port = free_port()
    crowd.begin()
    await deploy(stack, client, metrics_port)
    deployed = crowd.now()
    print(f"{deployed:5.1f} s  version B is current", flush=True)  # noqa: T201
    async with scraping({"groupbuy-worker": str(metrics_port)}, MONITORING / "groupbuy.rules.yml") as prometheus:
        await prometheus.until(f'ALERTS{{alertname="{ALERT}",alertstate="firing"}}', ALERTED_WITHIN)
    print(f"{crowd.now():5.1f} s  {ALERT} fires", flush=True)  # noqa: T201
    await asyncio.sleep(REACTS_AFTER)
    stuck = await failing()
    await set_current(client, "a")
    await stack.stop_part(WORKER_B)
    taken_back = crowd.now()
    print(f"{taken_back:5.1f} s  version A is current again; {stuck} teams have tasks that fail", flush=True)  # noqa: T201
    await until(failing, lambda count: count == 0, EVENTUALLY)
    print(f"{crowd.now():5.1f} s  no team's tasks fail any more", flush=True)  # noqa: T201
    await until_drained(client, "b")
    print(f"{crowd.now():5.1f} s  version B is drained", flush=True)  # noqa: T201
    await crowd.completes_teams(AFTER)
    await crowd.finish()
    print(f"{crowd.report(taken_back)}\n{crowd.outcome()}")  # noqa: T201


async def main() -> None:
    if PROMETHEUS is None:
        sys.exit("Prometheus is not installed: it evaluates the alert that the drill is about")
    warnings.simplefilter("ignore")  # of PostgreSQL's package, about a variable that is not used
    temporal.DYNAMIC_CONFIG |= DRAINED_SOON
    async with AsyncExitStack() as parts:
        data = parts.enter_context(data_dir())
        parts.enter_context(environment())
        options = Options(data_dir=data, settings={DEPLOYMENT: NAME, BUILD: "a"})
        stack = await parts.enter_async_context(Stack(options))
        there = stack.addresses
        client = await Client.connect(there.temporal_address)
        await set_current(client, "a")
        http = await parts.enter_async_context(http_session())
        mall, ops = (Caller(http, there.api_url, key) for key in (there.mall_key, there.ops_key))
        shop = Shop(mall, ops, other_mall=mall.with_key(None))
        receiver = await parts.enter_async_context(listening(there.webhook_secret))
        async with ObservedCrowd(shop, await shop.sell(take_limit=2), receiver) as crowd:
            await drill(stack, crowd, client)


if __name__ == "__main__":
    asyncio.run(main())
