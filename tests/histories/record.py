"""Records the histories that `test_replay.py` replays: `python -m tests.histories.record`.

Run it when a path is new. A committed history is what production may hold: a change to a workflow's commands must keep it
replaying (workflow.patched), so an old recording is replaced only when no such workflow can be running any more.
"""

import asyncio
import contextlib
import shutil
import sys
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

import click
from temporalio.client import Client, WorkflowFailureError, WorkflowHandle, WorkflowUpdateFailedError
from temporalio.testing import WorkflowEnvironment

from db.connection import Database, open_database
from db.migrate import upgrade
from dev.stack import Options, Stack
from tests.workflows.play import Play, publish, working
from workflows import search_attributes
from workflows.client import data_converter
from workflows.team import TeamWorkflow

HERE = Path(__file__).parent
TEMPORAL = Path(sys.executable).with_name("temporal")
# So low that ten members are long enough to continue as new.
LONG = "limit.historyCount.suggestContinueAsNew=60"

Story = Callable[[Play, Stack], Awaitable[None]]


async def completed(team: Play, _: Stack) -> None:
    await team.open()
    for buyer in (2, 3):
        await team.join(buyer)
    for buyer in (1, 2, 3):
        await team.pay(buyer)


async def overlapping(team: Play, _: Stack) -> None:
    await team.open()
    await asyncio.gather(*(team.join(buyer) for buyer in range(2, 9)))
    await asyncio.gather(*(team.pay(buyer) for buyer in range(1, 9)))


async def long_lived(team: Play, _: Stack) -> None:
    await team.open()
    for buyer in range(2, 9):
        await team.join(buyer)
    for buyer in range(1, 9):
        await team.pay(buyer)


async def expired(team: Play, _: Stack) -> None:
    await team.open()
    await team.join(2)
    await team.pay(1)


async def abandoned(team: Play, _: Stack) -> None:
    await team.open()
    await team.join(2)


async def no_first_seat(team: Play, _: Stack) -> None:
    with contextlib.suppress(WorkflowUpdateFailedError):
        await team.open()


async def operated(team: Play, _: Stack) -> None:
    handle = await team.open()
    await team.pay(1)
    await handle.signal("extend", {"minutes": 5, "operator": "ann"})
    await handle.signal("extend", "nonsense")
    await handle.signal("complete", {"operator": "ann", "reason": "enough"})


async def cancelled(team: Play, _: Stack) -> None:
    handle = await team.open()
    await team.pay(1)
    await handle.cancel()


async def database_away(team: Play, stack: Stack) -> None:
    await team.open()
    await stack.stop_part("postgres")
    joining = asyncio.gather(team.join(2), team.join(3))
    await _pending_activity(team.handle)
    await stack.start_part("postgres")
    await joining
    await team.handle.signal("close", {"operator": "ann"})


async def _pending_activity(handle: WorkflowHandle[TeamWorkflow, str]) -> None:
    async with asyncio.timeout(20):
        while not (await handle.describe()).raw_description.pending_activities:  # noqa: ASYNC110 - nothing tells it
            await asyncio.sleep(0.1)


STORIES: dict[str, tuple[Story, dict[str, object]]] = {
    "completed": (completed, {"refund_window": 1}),
    "completed_regular": (completed, {"refund_window": 1}),
    "overlapping": (overlapping, {"target_count": 8, "refund_window": 1}),
    "overlapping_regular": (overlapping, {"target_count": 8, "refund_window": 1}),
    "continued_as_new": (long_lived, {"target_count": 8, "refund_window": 1}),
    "expired": (expired, {"team_ttl": 2, "payment_grace": 0}),
    "min_count": (expired, {"team_ttl": 2, "payment_grace": 0, "min_count": 1, "refund_window": 1}),
    "abandoned": (abandoned, {"lock_ttl": 1, "payment_grace": 0}),
    "no_first_seat": (no_first_seat, {"stock": 0}),
    "operated": (operated, {"refund_window": 1}),
    "cancelled": (cancelled, {}),
    "database_away": (database_away, {}),
}


async def record(name: str, client: Client, database: Database, stack: Stack) -> None:
    story, changes = STORIES[name]
    campaign, campaign_id, goods_id = await publish(database, **changes)
    async with working(client, database) as queue:
        team = Play(client, queue, campaign, campaign_id, goods_id, local=not name.endswith("_regular"))
        await story(team, stack)
        with contextlib.suppress(WorkflowFailureError):
            await team.handle.result()
    runs = [run async for run in client.list_workflows(f"WorkflowId = '{team.handle.id}'")]
    while not runs:  # visibility follows in a moment
        runs = [run async for run in client.list_workflows(f"WorkflowId = '{team.handle.id}'")]
    for number, run in enumerate(sorted(runs, key=lambda run: run.start_time), 1):
        history = await client.get_workflow_handle(run.id, run_id=run.run_id).fetch_history()
        suffix = f"_{number}" if len(runs) > 1 else ""
        (HERE / f"{name}{suffix}.json").write_text(without_places(history.to_json()) + "\n")
        click.echo(f"{name}{suffix}: {len(history.events)} events")


def without_places(history: str) -> str:
    """Stack traces name the folders of the machine that recorded them; nobody needs those."""
    return history.replace(f"{sys.prefix}/", "").replace(f"{sys.base_prefix}/", "").replace(f"{HERE.parents[1]}/", "")


async def main(names: tuple[str, ...]) -> None:
    folder = tempfile.mkdtemp(prefix="groupbuy-")
    try:
        async with (
            Stack(Options(data_dir=Path(folder) / "data", services_only=True)) as stack,
            await WorkflowEnvironment.start_local(
                data_converter=data_converter,
                dev_server_existing_path=str(TEMPORAL),
                search_attributes=search_attributes.ALL,
                dev_server_extra_args=["--dynamic-config-value", LONG],
            ) as server,
        ):
            await asyncio.to_thread(upgrade, stack.addresses.database_url)
            database = await open_database(stack.addresses.database_url, pool_size=8)
            for name in names:
                await record(name, server.client, database, stack)
            await database.close()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@click.command(help=__doc__)
@click.argument("names", nargs=-1, type=click.Choice(sorted(STORIES)))
def command(names: tuple[str, ...]) -> None:
    asyncio.run(main(names or tuple(STORIES)))


if __name__ == "__main__":
    command()
