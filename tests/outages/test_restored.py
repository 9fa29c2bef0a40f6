"""PostgreSQL, or Temporal, is restored to an earlier moment; `groupbuy reconcile` says what differs, and mends it."""

import asyncio
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest
from temporalio.client import Client, WorkflowExecutionStatus

from embedded.stack import Stack
from tests.api.polling import until
from tests.api.receiver import Receiver
from tests.api.shop import Json, Shop
from tests.outages.crowd import EVENTUALLY


async def run(*command: str | Path) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT)
    output, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, output.decode()


async def reconcile(stack: Stack, *options: str) -> tuple[int, str]:
    groupbuy = Path(sys.executable).with_name("groupbuy")
    return await run(groupbuy, "reconcile", "--data-dir", stack.addresses.data_dir, "--beginning=0", *options)


@asynccontextmanager
async def back_to_now(stack: Stack, part: str, files: Sequence[str], folder: Path) -> AsyncIterator[None]:
    """What the part has written in the block is lost at its end, as when a backup of before is restored."""
    paths = [Path(stack.addresses.data_dir) / name for name in files]
    await stack.stop_part(part)
    kept = [path for path in paths if path.exists()]
    await run("cp", "-a", *kept, folder)
    await stack.start_part(part)
    yield
    # Workers are stopped with it: they remember workflows as they were.
    await stack.stop_part("worker-1")
    await stack.stop_part(part)
    await run("rm", "-rf", *paths)
    await run("cp", "-a", *[folder / path.name for path in kept], stack.addresses.data_dir)
    await stack.start_part(part)
    await stack.start_part("worker-1")


async def until_ready(shop: Shop) -> None:
    await until(
        lambda: shop.mall.get("/readyz"), lambda answer: answer.status == 200 and answer.ok()["engine"] == "ready", EVENTUALLY
    )


async def feed(shop: Shop, after: int) -> list[Json]:
    events: list[Json] = []
    while page := (await shop.mall.get("/v1/events", after=after, limit=100)).ok()["data"]:
        events += page
        after = page[-1]["sequence"]
    return events


async def last_sequence(shop: Shop) -> int:
    return (await feed(shop, 0))[-1]["sequence"]  # type: ignore[no-any-return]


@pytest.mark.timeout(300)
async def test_the_database_is_older_than_what_malls_and_workflows_know(
    stack: Stack, shop: Shop, receiver: Receiver, tmp_path: Path
) -> None:
    offer = await shop.sell(target_count=2)
    first = await offer.seat(callback=receiver.callback())
    team = first["team_id"]
    await shop.settle(first)
    async with back_to_now(stack, "postgres", ["postgres"], tmp_path):
        await until_ready(shop)
        second = offer.request(team_id=team, callback=receiver.callback())
        await shop.settle((await shop.mall.post("/v1/orders", second)).ok(201))
        [told] = await receiver.of_type("team.completed")
        lost = await offer.seat()
        seen = await last_sequence(shop)
    await until_ready(shop)
    temporal = await Client.connect(stack.addresses.temporal_address)

    async def found() -> tuple[int, str]:
        return await reconcile(stack)

    # The list of workflows follows a moment after they have changed.
    code, said = await until(found, lambda answer: "its workflow sees completed" in answer[1], EVENTUALLY)
    assert code == 1
    assert f"1 workflow(s) without rows\n  team-{lost['team_id']}\n" in said
    assert f"{team}: its workflow sees completed, the row is forming" in said
    code, said = await reconcile(stack, "--apply", "--database-restored")
    assert code == 0, said
    gone = await temporal.get_workflow_handle(f"team-{lost['team_id']}").describe()
    assert gone.status is WorkflowExecutionStatus.TERMINATED

    # The mall repeats what the platform has lost: the team completes again, under a sequence that no event had before.
    await shop.settle((await shop.mall.post("/v1/orders", second)).ok(201))
    again = (await receiver.of_type("team.completed", 2))[-1]
    assert again.event_id == told.event_id
    assert again.body["sequence"] > seen
    [event] = [event for event in await feed(shop, seen) if event["data"]["team_id"] == team]
    assert event["sequence"] == again.body["sequence"]
    assert await shop.violations() == []
    await until(found, lambda answer: answer[0] == 0, EVENTUALLY)


@pytest.mark.timeout(300)
async def test_temporal_is_older_than_the_rows(stack: Stack, shop: Shop, receiver: Receiver, tmp_path: Path) -> None:
    offer = await shop.sell(target_count=2)
    before = await offer.seat(callback=receiver.callback())
    files = ["temporal.db", "temporal.db-wal", "temporal.db-shm"]
    async with back_to_now(stack, "temporal", files, tmp_path):
        await until_ready(shop)
        joined = await offer.seat(team_id=before["team_id"], callback=receiver.callback())
        await shop.settle(before, joined)
        await receiver.of_type("team.completed")
        unknown = await (await shop.sell(lock_ttl=1, payment_grace=0)).seat(callback=receiver.callback())
        forming = await offer.seat(callback=receiver.callback())
    await until_ready(shop)

    code, said = await reconcile(stack, "--apply")
    assert code == 0, said
    # Each goes on from its rows: a seat lapses, a team can be joined and completes, a member of the completed one can leave.
    await until(partial(shop.order, unknown["out_trade_no"]), lambda seen: seen["status"] == "cancelled", EVENTUALLY)
    last = await offer.seat(team_id=forming["team_id"])
    await shop.settle(forming, last)
    (await shop.refund(joined)).ok(202)
    await shop.until_refund(joined, "done")
    assert await shop.violations() == []

    async def differs() -> tuple[int, str]:
        return await reconcile(stack)

    await until(differs, lambda answer: answer[0] == 0, EVENTUALLY)
