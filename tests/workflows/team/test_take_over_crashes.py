"""The worker that was told of a wake-up dies before, within and after `take_over`: the next one does what is left, once."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable

import pytest
from temporalio.client import Client

from db.core.connection import Database
from db.core.invariants import violations
from domain.lifecycle import TeamStatus
from domain.messages.callbacks import Address
from embedded.stack import Stack
from tests.api.polling import until
from tests.api.receiver import listening
from tests.workflows.crashing_worker import SOON, ShortTasks, crashing
from tests.workflows.namespaces import new_namespace
from tests.workflows.play import SECRET, assert_view_equals_rows, working
from tests.workflows.team.direct import Direct, play_directly

# Within: the rows are read under the team's lock, and the wake-up is not deleted yet.
POINTS = ["db.teams.take_over.take_over:before", "db.teams.take_over._read_rows:after", "db.teams.take_over.take_over:after"]


async def opened_and_paid_directly(direct: Direct) -> None:
    """The wake-up has to start the workflow, which takes over a team that is complete."""
    for buyer in (1, 2, 3):
        await direct.lock(buyer)
    for buyer in (1, 2, 3):
        await direct.pay(buyer)


async def paid_directly(direct: Direct) -> None:
    """The workflow knows of three unpaid seats, and of no payment."""
    for buyer in (1, 2, 3):
        await direct.pay(buyer)


@pytest.mark.parametrize("change", [opened_and_paid_directly, paid_directly])
async def test_the_same_end_wherever_the_worker_dies(
    services: Stack, database: Database, change: Callable[[Direct], Awaitable[None]]
) -> None:
    async def die_at(point: str) -> None:
        client = await new_namespace(services)
        config = client.config()
        config["interceptors"] = [ShortTasks()]
        impatient = Client(**config)
        queue = f"test-{uuid.uuid4().hex}"
        async with listening(SECRET) as receiver:
            callback = Address(kind="http", address=receiver.callback()["url"])
            direct = await play_directly(impatient, database, queue, callback, task_timeout=SOON)
            if change is paid_directly:
                async with working(client, database, queue, sandbox=False):
                    await direct.team.open()
                    for buyer in (2, 3):
                        await direct.team.join(buyer)
            await change(direct)
            async with crashing(services.addresses, point, queue, client.namespace):
                await direct.wake()
            assert await direct.wakeups() == (0 if point.endswith("take_over:after") else 1)
            async with working(client, database, queue, sandbox=False):
                await receiver.of_type("team.completed")
                await until(direct.wakeups, lambda count: count == 0)
                await assert_view_equals_rows(direct.team, database)
                await direct.team.handle.terminate()
            assert await direct.status() is TeamStatus.COMPLETED
            assert len({event.event_id for event in receiver.received}) == 1

    async with asyncio.TaskGroup() as group:
        for point in POINTS:
            group.create_task(die_at(point))
    assert await violations(database) == []
