"""PostgreSQL, or Temporal, is restored to an earlier moment; `groupbuy reconcile` says what differs, and mends it."""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
from aiohttp import web
from temporalio.client import Client, WorkflowExecutionStatus

from embedded.stack import Stack
from tests.api.polling import until
from tests.api.receiver import Receiver
from tests.api.shop import Json, Shop, moment_of, now
from tests.outages.crowd import EVENTUALLY

QUESTION = "order.refund_requested"
TEMPORAL_FILES = ["temporal.db", "temporal.db-wal", "temporal.db-shm"]
AT_ITS_TIME = timedelta(seconds=5)
"""within which a team is decided after its deadline, or after everything was mended, whichever is later"""


async def run(*command: str | Path) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT)
    output, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, output.decode()


async def groupbuy(stack: Stack, command: str, *options: str) -> tuple[int, str]:
    return await run(Path(sys.executable).with_name("groupbuy"), command, "--data-dir", stack.addresses.data_dir, *options)


async def reconcile(stack: Stack, *options: str) -> tuple[int, str]:
    return await groupbuy(stack, "reconcile", "--beginning=0", *options)


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
    if part == "postgres":
        code, said = await groupbuy(stack, "skip-sequences")
        assert code == 0, said
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


def answers_questions_with(status: int) -> Callable[[str], web.Response]:
    """What a mall says to each event: this to the question whether it agrees to a refund, and yes to all others."""
    return lambda kind: web.Response(status=status if kind == QUESTION else 200)


async def team_that_will_fail(shop: Shop, receiver: Receiver) -> Json:
    """The order of the only member, who has paid: at the team's deadline, soon, the money is owed."""
    offer = await shop.sell(target_count=2, team_ttl=12, payment_grace=0)
    order: Json = await offer.seat(callback=receiver.callback())
    await shop.settle(order)
    return order


async def failed_at_its_time(shop: Shop, order: Json, mended: datetime) -> None:
    """The team was decided, and the mall was told to return the money."""
    refund = await until(
        lambda: shop.mall.get(f"/v1/orders/{order['out_trade_no']}/refund"),
        lambda answer: answer.status == 200 and answer.body["status"] == "done",
        EVENTUALLY,
    )
    team = await shop.team(order["team_id"])
    assert team["status"] == "failed"
    deadline = moment_of(team["deadline"])
    assert deadline <= moment_of(refund.body["requested_at"]) < max(deadline, mended) + AT_ITS_TIME


@pytest.mark.timeout(300)
async def test_the_database_is_older_than_what_malls_and_workflows_know(
    stack: Stack, shop: Shop, receiver: Receiver, tmp_path: Path
) -> None:
    offer = await shop.sell(target_count=2)
    first = await offer.seat(callback=receiver.callback())
    team = first["team_id"]
    await shop.settle(first)
    # Two members want their money back while the backup is made: the mall has not answered.
    agreed, unanswered = await offer.seats(2, callback=receiver.callback())
    await shop.settle(agreed, unanswered)
    receiver.answer_with(answers_questions_with(503))
    for order in (agreed, unanswered):
        (await shop.refund(order)).ok(202)
    await receiver.of_type(QUESTION, 2)
    due = await team_that_will_fail(shop, receiver)
    async with back_to_now(stack, "postgres", ["postgres"], tmp_path):
        await until_ready(shop)
        second = offer.request(team_id=team, callback=receiver.callback())
        await shop.settle((await shop.mall.post("/v1/orders", second)).ok(201))
        told = (await receiver.of_type("team.completed", 2))[-1]
        lost = await offer.seat()
        receiver.answer_with(answers_questions_with(410))
        (await shop.refund(first)).ok(202)
        for order in (first, agreed, unanswered):
            await shop.until_refund(order, "attention")
        (await shop.ops.post(f"/v1/ops/refunds/{agreed['order_id']}/decision", {"approve": True})).ok()
        await shop.until_refund(agreed, "done")
        before = await feed(shop, 0)
    await until_ready(shop)
    receiver.answer_with(answers_questions_with(200))
    temporal = await Client.connect(stack.addresses.temporal_address)

    async def found() -> tuple[int, str]:
        return await reconcile(stack)

    # The list of workflows follows a moment after they have changed.
    code, said = await until(found, lambda answer: "its workflow sees completed" in answer[1], EVENTUALLY)
    assert code == 1
    assert "2 workflow(s) without rows\n" in said
    assert f"  team-{lost['team_id']}\n" in said
    assert f"  refund-{first['order_id']}-1\n" in said
    assert f"{team}: its workflow sees completed, the row is forming" in said
    assert f"1 unfinished refund(s) without a workflow\n  s01 {agreed['out_trade_no']}\n" in said
    assert f"{unanswered['out_trade_no']}: its workflow sees attention, the row is awaiting_mall" in said
    code, said = await reconcile(stack, "--apply", "--database-restored")
    assert code == 0, said
    mended = now()
    gone = await temporal.get_workflow_handle(f"team-{lost['team_id']}").describe()
    assert gone.status is WorkflowExecutionStatus.TERMINATED

    # The mall is asked again by those refunds that the rows know of, and repeats what the platform has lost.
    for order in (agreed, unanswered):
        await shop.until_refund(order, "done")
    await shop.settle((await shop.mall.post("/v1/orders", second)).ok(201))
    again = (await receiver.of_type("team.completed", 3))[-1]
    assert again.event_id == told.event_id
    (await shop.refund(first)).ok(202)
    await shop.until_refund(first, "done")
    await failed_at_its_time(shop, due, mended)
    # No sequence was given to two events.
    known = {event["sequence"]: event["event_id"] for event in before}
    after = await feed(shop, 0)
    assert {event["sequence"]: event["event_id"] for event in after if event["sequence"] in known}.items() <= known.items()
    [event] = [event for event in after if event["event_id"] == told.event_id]
    assert event["sequence"] == again.body["sequence"] > before[-1]["sequence"]
    assert await shop.violations() == []
    await until(found, lambda answer: answer[0] == 0, EVENTUALLY)


@pytest.mark.timeout(300)
async def test_temporal_is_older_than_the_rows(stack: Stack, shop: Shop, receiver: Receiver, tmp_path: Path) -> None:
    offer = await shop.sell(target_count=2)
    before = await offer.seat(callback=receiver.callback())
    half = await (await shop.sell(target_count=4)).seat(callback=receiver.callback())
    settled, unanswered = await offer.seats(2, callback=receiver.callback())
    await shop.settle(settled, unanswered)
    receiver.answer_with(answers_questions_with(503))
    (await shop.refund(settled)).ok(202)
    await receiver.of_type(QUESTION)
    async with back_to_now(stack, "temporal", TEMPORAL_FILES, tmp_path):
        await until_ready(shop)
        (await shop.ops.post(f"/v1/ops/refunds/{settled['order_id']}/decision", {"approve": True})).ok()
        await shop.until_refund(settled, "done")
        (await shop.refund(unanswered)).ok(202)
        await receiver.of_type(QUESTION, 2)
        joined = await offer.seat(team_id=before["team_id"], callback=receiver.callback())
        await shop.settle(before, joined)
        await receiver.of_type("team.completed", 2)
        unknown = await (await shop.sell(lock_ttl=1, payment_grace=0)).seat(callback=receiver.callback())
        forming = await offer.seat(callback=receiver.callback())
        more = offer.request(goods_id=half["goods_id"], team_id=half["team_id"])
        (await shop.mall.post("/v1/orders", more)).ok(201)
        due = await team_that_will_fail(shop, receiver)
    await until_ready(shop)
    receiver.answer_with(answers_questions_with(200))

    code, said = await reconcile(stack, "--apply")
    assert code == 0, said
    mended = now()
    assert f"{half['team_id']}: its workflow sees 0 paid and 1 unpaid seats, the rows have 0 and 2" in said
    assert f"1 unfinished refund(s) without a workflow\n  s01 {unanswered['out_trade_no']}\n" in said
    # Each goes on from its rows: a seat lapses, a team can be joined and completes, a member of the completed one can leave.
    await until(partial(shop.order, unknown["out_trade_no"]), lambda seen: seen["status"] == "cancelled", EVENTUALLY)
    last = await offer.seat(team_id=forming["team_id"])
    await shop.settle(forming, last)
    (await shop.refund(joined)).ok(202)
    for order in (settled, joined, unanswered):
        await shop.until_refund(order, "done")
    await failed_at_its_time(shop, due, mended)
    assert await shop.violations() == []

    async def differs() -> tuple[int, str]:
        return await reconcile(stack)

    await until(differs, lambda answer: answer[0] == 0, EVENTUALLY)


@pytest.mark.timeout(300)
async def test_temporal_is_empty(stack: Stack, shop: Shop, receiver: Receiver) -> None:
    order = await (await shop.sell(lock_ttl=1, payment_grace=0)).seat(callback=receiver.callback())
    leaving, _ = members = await (await shop.sell(target_count=2)).seats(2, callback=receiver.callback())
    await shop.settle(*members)
    receiver.answer_with(answers_questions_with(503))
    (await shop.refund(leaving)).ok(202)
    await receiver.of_type(QUESTION)
    due = await team_that_will_fail(shop, receiver)
    await stack.stop_part("temporal")
    for name in TEMPORAL_FILES:
        (Path(stack.addresses.data_dir) / name).unlink(missing_ok=True)
    await stack.start_part("temporal")  # the worker runs all the time
    receiver.answer_with(answers_questions_with(200))
    # The workers wake the teams by themselves; reconciliation would find the refund after two minutes.
    await until(partial(shop.order, order["out_trade_no"]), lambda seen: seen["status"] == "cancelled", EVENTUALLY)
    code, said = await reconcile(stack, "--apply")
    assert code == 0, said
    mended = now()
    await shop.until_refund(leaving, "done")
    await receiver.of_type("order.cancelled")
    await failed_at_its_time(shop, due, mended)
    assert await shop.violations() == []
