"""A release whose code does not replay is deployed under load, noticed, and taken back: `make drill-version`.

Teams that version A has begun meet the workers of version B, whose code has a timer that no history has. Prometheus evaluates
the alerts; somebody sets the earlier version as current again, and ends the workflows that B has begun, which do not replay
with the code of A. Then every order that was answered is there, every team that was begun completes and is told of once, and
the invariants hold.
"""

import asyncio
import sys
import warnings
from contextlib import AsyncExitStack
from pathlib import Path

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
LEFT_BY_B = f"TemporalWorkerDeploymentVersion = '{NAME}:b' AND ExecutionStatus = 'Running'"
"""workflows whose last task was done by version B"""
WORKER_B = "worker-b"


async def start_workers_of_b(stack: Stack, metrics_port: int) -> None:
    own = {BUILD: "b", "GROUPBUY_METRICS_PORT": str(metrics_port)}
    program = Program(
        name=WORKER_B,
        command=[sys.executable, "-P", "-u", "-c", DOES_NOT_REPLAY],
        environment={**stack._plan.application_environment(), **own},
        cwd=stack._data_dir.path,
        stop_within=6,
    )
    await stack._supervisor.start(Part(program, _has_printed_ready))


async def run(stack: Stack, command: str, *arguments: str) -> str:
    """Runs a command of docs/operations.md; returns what it prints."""
    environment = {**stack._plan.base_environment(), "TEMPORAL_ADDRESS": stack.addresses.temporal_address}
    program = Path(sys.executable).with_name(command)
    process = await asyncio.create_subprocess_exec(program, *arguments, env=environment, stdout=asyncio.subprocess.PIPE)
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()
    return output.decode()


async def drill(stack: Stack, crowd: ObservedCrowd, client: Client) -> None:
    def note(what: str) -> None:
        print(f"{crowd.now():5.1f} s  {what}", flush=True)  # noqa: T201

    async def left_by_b() -> int:
        return (await client.count_workflows(LEFT_BY_B)).count

    metrics_port = free_port()
    await start_workers_of_b(stack, metrics_port)
    await crowd.completes_teams(BEFORE)
    crowd.begin()
    await set_current(client, "b")
    note("version B is current")
    async with scraping({"groupbuy-worker": str(metrics_port)}, MONITORING / "groupbuy.rules.yml") as prometheus:
        await prometheus.until(f'ALERTS{{alertname="{ALERT}",alertstate="firing"}}', ALERTED_WITHIN)
    note(f"{ALERT} fires")
    await asyncio.sleep(REACTS_AFTER)
    await set_current(client, "a")
    await stack.stop_part(WORKER_B)
    note("version A is current again, the workers of B are stopped")
    begun = await left_by_b()
    # Their histories have B's timer: they do not replay with A's code.
    await run(stack, "temporal", "workflow", "terminate", "--query", LEFT_BY_B, "--reason", "begun by version B", "--yes")
    await until(left_by_b, lambda count: count == 0, EVENTUALLY)
    said = await run(stack, "groupbuy", "reconcile", "--data-dir", stack.addresses.data_dir, "--beginning=0", "--apply")
    note(f"{begun} workflows that B had worked on are ended, and begin anew from their rows:")
    print("".join(f"            {line}\n" for line in said.splitlines() if not line.startswith("  ")), end="")  # noqa: T201
    over = crowd.now()
    await until_drained(client, "b")
    note("Temporal calls version B drained")
    await crowd.completes_teams(AFTER)
    await crowd.finish()
    print(f"{crowd.report(over)}\n{crowd.outcome()}")  # noqa: T201


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
