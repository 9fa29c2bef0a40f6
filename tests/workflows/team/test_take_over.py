"""A view that differs from the rows: each way in which that can happen heals, and costs a step and not the team's life."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest
from temporalio.testing import WorkflowEnvironment

import db.orders.settle
import db.refunds.open
from db.core.connection import Database, transaction
from db.core.invariants import violations
from db.teams.queries import read_team
from domain.lifecycle import PaymentOutcome, TeamStatus
from domain.messages.callbacks import Address
from domain.messages.orders import SettlePayment
from domain.messages.refunds import OpenRefund
from tests.api.receiver import Receiver, listening
from tests.workflows.play import SECRET, SOURCE, Play, assert_view_equals_rows, publish, working
from workflows.team.workflow import TeamWorkflow

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
FEW_EVENTS = 60
"""of a team of three that ends by its deadline; a workflow that spins has hundreds within a minute"""


@pytest.fixture
async def queue(time: WorkflowEnvironment, database: Database) -> AsyncIterator[str]:
    async with working(time.client, database) as name:
        yield name
    assert await violations(database) == []


async def play(time: WorkflowEnvironment, database: Database, queue: str, **changes: Any) -> Play:  # noqa: ANN401
    callback = changes.pop("callback", None)
    campaign, campaign_id, goods_id = await publish(database, **changes)
    return Play(time.client, queue, campaign, campaign_id, goods_id, callback=callback)


async def status_of(database: Database, team: Play) -> TeamStatus:
    found = await read_team(database, SOURCE, team.team)
    assert found is not None
    return found.status


async def refund_behind_its_back(time: WorkflowEnvironment, database: Database, team: Play, buyer: int) -> None:
    """The transaction of a buyer's refund, whose hint to the team's workflow is lost."""
    request = OpenRefund(order_id=team.order(buyer), now=await time.get_current_time())
    await db.refunds.open.open_refund(database, request)


async def pay_behind_its_back(time: WorkflowEnvironment, database: Database, team: Play, buyer: int) -> None:
    """The transaction of a payment, whose answer to the team's workflow is lost."""
    payment = SettlePayment(report=team.report(buyer), now=await time.get_current_time())
    settled = await db.orders.settle.settle_payment(database, payment)
    assert settled.outcome is PaymentOutcome.SETTLED


async def lose_order(_: WorkflowEnvironment, database: Database, team: Play, buyer: int) -> None:
    """Rows restored from a backup that was made before this seat was taken."""
    async with transaction(database) as conn:
        quota = "SELECT campaign_id, source, user_id FROM orders WHERE order_id = $1"
        order = await conn.fetchrow(quota, team.order(buyer))
        assert order is not None
        give_back = "UPDATE user_quotas SET live = live - 1 WHERE (campaign_id, source, user_id) = ($1, $2, $3)"
        await conn.execute(give_back, *order.values())
        await conn.execute("DELETE FROM orders WHERE order_id = $1", team.order(buyer))
        release = "UPDATE teams SET lock_count = lock_count - 1, version = version - 1 WHERE team_id = $1"
        await conn.execute(release, team.team)


@pytest.mark.parametrize("change", [refund_behind_its_back, pay_behind_its_back, lose_order])
async def test_a_seat_that_the_view_calls_locked_and_the_rows_do_not(
    time: WorkflowEnvironment,
    database: Database,
    queue: str,
    change: Callable[[WorkflowEnvironment, Database, Play, int], Awaitable[None]],
) -> None:
    team = await play(time, database, queue)
    handle = await team.open()
    await team.join(2)
    await team.pay(1)
    await change(time, database, team, 2)
    await time.sleep(20 * MINUTE)
    await assert_view_equals_rows(team, database)
    await time.sleep(DAY)  # its deadline is not missed
    assert await status_of(database, team) is TeamStatus.FAILED
    assert await handle.result() == "failed"
    assert (await handle.describe()).history_length < FEW_EVENTS


async def test_a_payment_that_completed_the_team_unknown_to_its_workflow(
    time: WorkflowEnvironment, database: Database, queue: str
) -> None:
    """The team stays open for its refund window, and the mall is told by the team's workflow."""
    async with listening(SECRET) as receiver:
        team = await play(time, database, queue, callback=_address(receiver))
        handle = await team.open()
        for buyer in (2, 3):
            await team.join(buyer)
        for buyer in (1, 2):
            await team.pay(buyer)
        await pay_behind_its_back(time, database, team, 3)
        await time.sleep(20 * MINUTE)  # the seat was due: the workflow asked for its release, and found it paid
        await assert_view_equals_rows(team, database)
        assert [event.type for event in receiver.received] == ["team.completed"]
        await time.sleep(6 * DAY)
        assert (await team.refund(3)).needs_consent  # inside the window
        await time.sleep(2 * DAY)
        assert await handle.result() == "completed_with_refunds, 2 paid"


async def test_a_refund_whose_first_commit_stalls_still_tells_the_team(
    time: WorkflowEnvironment, database: Database, queue: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The local attempt is committed and given up; its repeat finds the refund, and the team hears of it all the same."""
    open_refund, calls = db.refunds.open.open_refund, 0

    async def stalls(*args: Any) -> Any:  # noqa: ANN401
        nonlocal calls
        calls += 1
        state = await open_refund(*args)
        if calls == 1:
            await asyncio.Event().wait()  # until the local attempt's time is over
        return state

    monkeypatch.setattr(db.refunds.open, "open_refund", stalls)
    team = await play(time, database, queue)
    await team.open()
    await team.join(2)
    assert (await team.refund(2)).released
    assert calls == 2
    await assert_view_equals_rows(team, database)
    await team.handle.signal("close")


async def test_a_lock_whose_answer_is_lost_is_found_before_the_team_is_given_up(
    time: WorkflowEnvironment, database: Database, queue: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A defect ends the update after its commit: no first seat is known, but the rows have one."""
    lock_seat, team = db.orders.lock.lock_seat, await play(time, database, queue)

    async def breaks(*args: Any) -> Any:  # noqa: ANN401
        await lock_seat(*args)
        raise LookupError("after the commit")

    monkeypatch.setattr(db.orders.lock, "lock_seat", breaks)
    opening = asyncio.create_task(team.open())
    with pytest.raises(Exception, match="Workflow update failed"):
        await opening
    monkeypatch.setattr(db.orders.lock, "lock_seat", lock_seat)
    await assert_view_equals_rows(team, database)
    await time.sleep(20 * MINUTE)
    assert await status_of(database, team) is TeamStatus.FAILED
    assert await team.handle.result() == "failed"


async def test_an_answer_that_skips_a_version_makes_the_workflow_read_the_rows(
    time: WorkflowEnvironment, database: Database, queue: str
) -> None:
    """Between its own steps somebody else has changed the team: nobody needs to say so."""
    team = await play(time, database, queue)
    await team.open()
    await team.join(2)
    await pay_behind_its_back(time, database, team, 2)
    await team.pay(1)
    await assert_view_equals_rows(team, database)
    await team.handle.signal("close")


async def test_a_run_that_continues_another_one_reads_the_rows_before_it_answers(
    time: WorkflowEnvironment, database: Database, queue: str
) -> None:
    """What the run before had answered may be lost with the task in which it continued as new."""
    team = await play(time, database, queue, target_count=2)
    await team.open()
    stale = await team.handle.query(TeamWorkflow.view)
    await team.join(2)
    await team.pay(1)
    await team.handle.terminate()
    handle = await time.client.start_workflow(TeamWorkflow.run, team.input(stale), id=team.handle.id, task_queue=queue)
    await assert_view_equals_rows(team, database)  # before anybody asks for anything
    assert (await team.pay(2)).team.status is TeamStatus.COMPLETED
    await assert_view_equals_rows(team, database)
    await time.sleep(8 * DAY)
    assert await handle.result() == "completed, 2 paid"


async def test_a_hint_makes_the_workflow_read_the_rows(time: WorkflowEnvironment, database: Database, queue: str) -> None:
    """Whatever it says, when it comes and how often: only the rows count."""
    team = await play(time, database, queue)
    await team.open()
    await team.join(2)
    await refund_behind_its_back(time, database, team, 2)
    await team.handle.signal("rows_changed")
    await assert_view_equals_rows(team, database)
    for buyer in (2, 1, 9):  # who has left, who has not (a hint of an earlier life of its seat), and who was never here
        await team.handle.signal("member_left", {"out_trade_no": team.number(buyer)})
        await assert_view_equals_rows(team, database)
    assert set((await team.handle.query(TeamWorkflow.view)).live_seats) == {team.number(1)}
    await team.handle.signal("close")


def _address(receiver: Receiver) -> Address:
    return Address(kind="http", address=receiver.callback()["url"])
