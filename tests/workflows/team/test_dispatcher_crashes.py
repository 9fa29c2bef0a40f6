"""A dispatcher dies with wake-ups in hand: another one tells the workflow, which takes the rows over once."""

import uuid
from datetime import UTC, datetime

import pytest
from temporalio.client import Client

from db.core.connection import Database
from db.core.invariants import violations
from db.teams.wakeups import claim_wakeups
from domain.lifecycle import TeamStatus
from domain.messages.callbacks import Address
from tests.api.receiver import listening
from tests.workflows.play import SECRET, working
from tests.workflows.team.direct import play_directly


@pytest.mark.parametrize("was_told", [False, True], ids=["before it told the workflow", "after it told the workflow"])
async def test_another_dispatcher_goes_on(client: Client, database: Database, *, was_told: bool) -> None:
    queue = f"test-{uuid.uuid4().hex}"
    async with listening(SECRET) as receiver:
        callback = Address(kind="http", address=receiver.callback()["url"])
        direct = await play_directly(client, database, queue, callback)
        for buyer in (1, 2, 3):
            await direct.lock(buyer)
        for buyer in (1, 2, 3):
            await direct.pay(buyer)
        await claim_wakeups(database, datetime.now(UTC), at_once=100)
        if was_told:
            await direct.wake()
        assert await direct.wakeups() == 1  # which the dispatcher does not delete, whatever it has done
        async with working(client, database, queue):
            await direct.until_taken_over()
            await receiver.of_type("team.completed")
            await direct.team.handle.terminate()
        assert await direct.status() is TeamStatus.COMPLETED
        assert len({event.event_id for event in receiver.received}) == 1
    assert await violations(database) == []
