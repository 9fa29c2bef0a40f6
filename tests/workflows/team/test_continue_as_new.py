"""A team that continues as new again and again, while buyers lock, pay and leave: no answer is lost, and no request hangs.

Its size is GROUPBUY_TEST_TEAM_SIZE; 1000 is the largest that there may be, and takes minutes.
"""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
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
from tests.workflows.play import SOURCE, Play, assert_view_equals_rows, publish, working
from workflows import search_attributes
from workflows.client import data_converter

SIZE = int(os.environ.get("GROUPBUY_TEST_TEAM_SIZE", "60"))
UPDATES_PER_RUN = max(20, SIZE // 5)
CONCURRENT_REQUESTS = 4
SIGNAL_EVERY = 0.01 * max(1, SIZE / 200)
"""seconds. The task that continues as new is longer in a larger team, and can never end while each has a signal in it."""
ANSWERED_WITHIN = timedelta(seconds=30)
"""of one attempt; the API gives up after 8 s, on a machine that runs nothing else"""


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


async def for_all(team: Play, database: Database, buyers: range, request: Callable[[int], Coroutine[Any, Any, object]]) -> None:
    """Each buyer's request, again where it got no answer, as malls do; afterwards the view equals the rows."""
    slots = asyncio.Semaphore(CONCURRENT_REQUESTS)

    async def unanswered(buyer: int) -> list[int]:
        async with slots:
            return [] if await is_answered(request(buyer)) else [buyer]

    left = [*buyers]
    while left:
        signals = asyncio.create_task(signal_again_and_again(team))
        left = [buyer for each in await asyncio.gather(*map(unanswered, left)) for buyer in each]
        signals.cancel()
    await assert_view_equals_rows(team, database)


async def signal_again_and_again(team: Play) -> None:
    """Signals that arrive at any moment, also while the workflow continues as new: that fails the task, and its updates."""
    while True:
        await team.handle.signal("extend", "an unusable payload, which only leaves a note")
        await asyncio.sleep(SIGNAL_EVERY)


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
