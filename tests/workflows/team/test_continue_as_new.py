"""A team that continues as new again and again, while buyers lock, pay and leave: no answer is lost, and no request hangs.

Its size is GROUPBUY_TEST_TEAM_SIZE; 1000 is the largest that there may be, and takes minutes.
"""

import asyncio
import os
import random
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import WorkflowUpdateFailedError, WorkflowUpdateRPCTimeoutOrCancelledError
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError
from temporalio.testing import WorkflowEnvironment

from db.core.connection import Database
from db.core.invariants import violations
from db.teams.queries import read_team
from domain.lifecycle import TeamStatus
from tests.api.polling import until
from tests.workflows.play import SOURCE, Play, assert_view_equals_rows, publish, working
from tests.workflows.team.direct import play_directly
from worker import running
from workflows import search_attributes
from workflows.client import data_converter

SIZE = int(os.environ.get("GROUPBUY_TEST_TEAM_SIZE", "60"))
UPDATES_PER_RUN = max(20, SIZE // 5)
CONCURRENT_REQUESTS = 4
SIGNALS_PER_REQUEST = 3
SIGNALLED_WITHIN = 0.1
"""seconds after the request"""
ANSWERED_WITHIN = timedelta(seconds=30)
"""of one attempt; the API gives up after 8 s, on a machine that runs nothing else"""

Request = Callable[[int], Coroutine[Any, Any, object]]


@pytest.fixture
async def server() -> AsyncIterator[WorkflowEnvironment]:
    """Temporal's own server, with few updates for each run of a workflow."""
    async with await WorkflowEnvironment.start_local(
        data_converter=data_converter,
        dev_server_existing_path=str(Path(sys.executable).with_name("temporal")),
        search_attributes=search_attributes.ALL,
        dev_server_extra_args=["--dynamic-config-value", f"history.maxTotalUpdates={UPDATES_PER_RUN}"],
    ) as environment:
        yield environment


async def is_answered(request: Awaitable[object]) -> bool:
    """False where the outcome is open: the task that answered was failed, or the run has continued as new."""
    try:
        async with asyncio.timeout(ANSWERED_WITHIN.total_seconds()):
            await request
    except WorkflowUpdateRPCTimeoutOrCancelledError as exc:
        raise AssertionError("a request hangs") from exc
    except RPCError:
        return False
    except WorkflowUpdateFailedError as exc:
        if not isinstance(exc.cause, ApplicationError) or exc.cause.type != "AcceptedUpdateCompletedWorkflow":
            raise
        return False
    return True


async def until_answered(buyers: Iterable[int], request: Request) -> None:
    """Each buyer's request, again where it got no answer, as malls do."""
    slots = asyncio.Semaphore(CONCURRENT_REQUESTS)

    async def unanswered(buyer: int) -> list[int]:
        async with slots:
            return [] if await is_answered(request(buyer)) else [buyer]

    left = [*buyers]
    while left:
        left = [buyer for each in await asyncio.gather(*map(unanswered, left)) for buyer in each]


async def for_all(team: Play, database: Database, buyers: range, request: Request) -> None:
    """Each buyer's request amid signals, again where it got no answer; afterwards the view equals the rows."""

    async def amid_signals(buyer: int) -> None:
        signals = [asyncio.create_task(signal_soon(team)) for _ in range(SIGNALS_PER_REQUEST)]
        try:
            await request(buyer)
        finally:
            await asyncio.gather(*signals)

    await until_answered(buyers, amid_signals)
    await assert_view_equals_rows(team, database)


async def signal_soon(team: Play) -> None:
    """A signal at any moment, also while the workflow continues as new: that fails the task, and its updates.

    Whoever waits for an answer sends no more of them, since a task with a signal in each of its attempts could never end.
    """
    await asyncio.sleep(random.uniform(0, SIGNALLED_WITHIN))  # noqa: S311 - no secret
    await team.handle.signal("extend", "an unusable payload, which only leaves a note")


@pytest.mark.timeout(60 + SIZE)
async def test_a_large_team_is_filled_paid_and_half_left(server: WorkflowEnvironment, database: Database) -> None:
    campaign, campaign_id, goods_id = await publish(database, target_count=SIZE, lock_ttl=3600)
    async with working(server.client, database) as queue:
        team = Play(server.client, queue, campaign, campaign_id, goods_id)
        await team.open()
        await for_all(team, database, range(2, SIZE + 1), team.join)
        await for_all(team, database, range(1, SIZE), team.pay)
        await for_all(team, database, range(1, SIZE // 2), team.refund)  # they leave a team that is still forming
        await for_all(team, database, range(SIZE + 1, SIZE + SIZE // 2), team.join)
        await for_all(team, database, range(SIZE, SIZE + SIZE // 2), team.pay)

        found = await read_team(database, SOURCE, team.team)
        assert found is not None
        assert (found.status, found.complete_count) == (TeamStatus.COMPLETED, SIZE)
        runs = [run async for run in server.client.list_workflows(f"WorkflowId = '{team.handle.id}'")]
        assert len(runs) > 3 * SIZE // UPDATES_PER_RUN // 2
        await team.handle.terminate()
    assert await violations(database) == []


async def test_every_other_buyer_is_admitted_directly_while_the_workflow_continues_as_new(
    server: WorkflowEnvironment, database: Database
) -> None:
    """Wake-ups reach the workflow at any moment of its runs, and none of them is lost between two."""
    size = 2 * UPDATES_PER_RUN
    async with working(server.client, database) as queue:
        direct = await play_directly(server.client, database, queue, target_count=size, lock_ttl=3600)
        team = direct.team

        def other_way(orchestrated: Request, directly: Request) -> Request:
            return lambda buyer: directly(buyer) if buyer % 2 else orchestrated(buyer)

        async with running(direct.dispatcher.run):
            await team.open()
            await until_answered(range(2, size + 1), other_way(team.join, direct.lock))
            await until_answered(range(1, size + 1), other_way(team.pay, direct.pay))
            await until(direct.wakeups, lambda count: count == 0)
        await assert_view_equals_rows(team, database)
        assert await direct.status() is TeamStatus.COMPLETED
        runs = [run async for run in server.client.list_workflows(f"WorkflowId = '{team.handle.id}'")]
        assert len(runs) > 1
        await team.handle.terminate()
    assert await violations(database) == []
