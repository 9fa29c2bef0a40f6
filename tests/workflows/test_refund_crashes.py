"""The worker dies before and after each transaction and each callback of a refund: always the same end, and one event."""

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator, Callable, Coroutine

import pytest
from aiohttp import web
from temporalio.client import Client, WorkflowFailureError, WorkflowUpdateFailedError, WorkflowUpdateRPCTimeoutOrCancelledError
from temporalio.service import RPCError

from db.core.connection import Database
from db.core.invariants import violations
from db.orders.queries import read_order
from db.refunds.queries import look_up_refund
from db.teams.queries import read_team
from domain.messages.callbacks import Address
from embedded.stack import Stack
from tests.api.receiver import listening
from tests.workflows.crashing_worker import SOON, crashing
from tests.workflows.namespaces import new_namespace
from tests.workflows.play import SECRET, SOURCE, Play, assert_view_equals_rows, publish, working
from workflows import activity_calls, deliveries

VETO = {"code": "refund_rejected", "detail": "shipped already"}

Story = Callable[[Play], Coroutine[None, None, None]]


def sides(*steps: str) -> list[str]:
    """Before and after each step; `:2` after a step is its second time."""
    points = []
    for step in steps:
        name, _, nth = step.partition(":")
        points += [f"{name}:{side}{':' + nth if nth else ''}" for side in ("before", "after")]
    return points


OPEN = "db.refunds.open.open_refund"
RELEASE, REJECT, FINISH = (f"db.refunds.steps.{step}_refund" for step in ("release", "reject", "finish"))
SEND, RECORD = "mall.send", "db.callbacks.deliveries.record_attempt"


async def forming(team: Play) -> None:
    await team.open()
    await team.join(2)


async def paid(team: Play) -> None:
    await forming(team)
    await team.pay(2)


async def completed(team: Play) -> None:
    await forming(team)
    await team.join(3)
    for buyer in (1, 2, 3):
        await team.pay(buyer)


async def ask(team: Play) -> None:
    await team.refund(2)


async def pay_wrongly(team: Play) -> None:
    await team.pay(2, "1.00")


STORIES: dict[str, tuple[Story, Story, str, list[str], list[str]]] = {
    "unpaid": (forming, ask, "cancelled", sides(OPEN, SEND, RECORD), ["order.cancelled"]),
    "paid_unformed": (paid, ask, "refunded", sides(OPEN, SEND, RECORD, FINISH), ["order.refunded"]),
    "unsettled": (
        forming,
        pay_wrongly,
        "refunded",
        sides("db.orders.settle.settle_payment", OPEN, FINISH),
        ["order.refunded"],
    ),
    "paid_formed": (
        completed,
        ask,
        "refunded",
        sides(OPEN, SEND, RECORD, RELEASE, f"{SEND}:2", f"{RECORD}:2", FINISH),
        ["order.refund_requested", "order.refunded"],
    ),
    "veto": (completed, ask, "paid", sides(RECORD, RELEASE, REJECT), ["order.refund_requested"]),
}
"""What came before, what is asked, the order's end, where the worker dies, and what the mall hears of the order.

A step that is the same in two stories, with the same before and after it, is died at in one of them.
"""

CASES = [(story, point) for story, (*_, points, _) in STORIES.items() for point in points]


CONCURRENT_CASES = 4


@pytest.fixture(scope="module")
async def running_cases(
    request: pytest.FixtureRequest, services: Stack, database: Database
) -> AsyncIterator[dict[tuple[str, str], asyncio.Task[None]]]:
    """Runs the selected cases a few at once, for each of them waits most of the time until Temporal misses the dead worker.

    Each has a namespace of its own, so that no worker of another case takes its steps.
    """
    slots = asyncio.Semaphore(CONCURRENT_CASES)

    async def run(story: str, point: str) -> None:
        async with slots:
            await check_the_end(await new_namespace(services), database, services, story, point)

    module = [item for item in request.session.items if isinstance(item, pytest.Function) and item.path == request.path]
    selected = {(item.callspec.params["story"], item.callspec.params["point"]) for item in module}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(deliveries, "DELIVERY", SOON)
        patch.setattr(activity_calls, "TRANSACTION", SOON)
        tasks = {case: asyncio.create_task(run(*case)) for case in CASES if case in selected}
        yield tasks
        for task in tasks.values():
            task.cancel()
        await asyncio.gather(*tasks.values(), return_exceptions=True)


@pytest.mark.parametrize(("story", "point"), CASES, ids=lambda value: value.rpartition(".")[2])
async def test_the_same_end_wherever_the_worker_dies(
    running_cases: dict[tuple[str, str], asyncio.Task[None]], story: str, point: str
) -> None:
    await running_cases[story, point]


async def histories(client: Client) -> str:
    """What Temporal knows of every workflow of a case whose worker did not reach its point."""
    lines = []
    async for found in client.list_workflows():
        handle = client.get_workflow_handle(found.id, run_id=found.run_id)
        description = await handle.describe()
        raw = description.raw_description
        lines.append(f"{found.id} {description.status}: {raw.pending_activities} {raw.pending_workflow_task}")
        lines += [str(event).replace("\n", " ") async for event in handle.fetch_history_events()]
    return "\n".join(lines)


async def check_the_end(client: Client, database: Database, services: Stack, story: str, point: str) -> None:
    before, act, end, _, told = STORIES[story]
    campaign, campaign_id, goods_id = await publish(database)
    queue = f"test-{uuid.uuid4().hex}"
    async with listening(SECRET) as receiver:
        if story == "veto":
            receiver.answer_to("order.refund_requested", *(web.json_response(VETO, status=409) for _ in range(3)))
        callback = Address(kind="http", address=receiver.callback()["url"])
        team = Play(client, queue, campaign, campaign_id, goods_id, callback=callback, task_timeout=SOON)
        async with working(client, database, queue, sandbox=False):
            await before(team)
        try:
            async with crashing(services.addresses, point, queue, client.namespace):
                acting = asyncio.create_task(act(team))
        except AssertionError as missed:
            missed.add_note(f"{acting!r}\n{await histories(client)}")
            raise
        async with working(client, database, queue, sandbox=False):
            # The caller does what a mall does that got no answer.
            with contextlib.suppress(RPCError, WorkflowUpdateFailedError, WorkflowUpdateRPCTimeoutOrCancelledError):
                await acting
            await act(team)
            with contextlib.suppress(WorkflowFailureError):
                await team.refund_handle(2).result()
            await assert_view_equals_rows(team, database)

        order = await read_order(database, SOURCE, team.number(2))
        assert order is not None
        assert order.order.status == end
        place = await look_up_refund(database, SOURCE, team.number(2))
        assert place is not None
        assert place.refund is not None
        assert (place.attempts, place.refund.finished_at is not None) == (1, True)
        about_it = {(one.type, one.event_id) for one in receiver.received if one.data.get("out_trade_no") == team.number(2)}
        assert sorted(kind for kind, _ in about_it) == told
        team_now = await read_team(database, SOURCE, team.team)
        assert team_now is not None
        others = {"unpaid": (1, 0), "unsettled": (1, 0), "paid_unformed": (1, 0), "paid_formed": (2, 2), "veto": (3, 3)}
        assert (team_now.lock_count, team_now.complete_count) == others[story]
        await team.handle.terminate()
    assert await violations(database) == []
