"""A team's life in time: windows of minutes to days, in seconds."""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from aiohttp import web
from temporalio.client import WorkflowFailureError, WorkflowUpdateFailedError
from temporalio.exceptions import ApplicationError
from temporalio.testing import WorkflowEnvironment

from db.core.connection import Database, connection
from db.core.invariants import violations
from db.orders.queries import OrderFilter, list_orders
from db.teams.conclude import conclude_team
from db.teams.queries import read_team
from domain.errors import ErrorCode
from domain.ids import order_id, refund_workflow_id
from domain.lifecycle import OrderStatus, PaymentOutcome, TeamDecision, TeamStatus
from domain.messages.base import WorkflowFailure
from domain.messages.callbacks import Address
from domain.messages.teams import ConcludeTeam
from domain.schemas.events import EventType
from tests.api.receiver import listening
from tests.workflows.play import SECRET, SOURCE, Play, publish, working
from workflows.search_attributes import NEEDS_ATTENTION

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
OK, GONE = 200, 410


@pytest.fixture
async def queue(time: WorkflowEnvironment, database: Database) -> AsyncIterator[str]:
    async with working(time.client, database) as made:
        yield made
    assert await violations(database) == []


async def play(time: WorkflowEnvironment, database: Database, queue: str, **changes: object) -> Play:
    campaign, campaign_id, goods_id = await publish(database, **changes)
    return Play(time.client, queue, campaign, campaign_id, goods_id)


async def status_of(database: Database, team: Play) -> TeamStatus:
    found = await read_team(database, SOURCE, team.team)
    assert found is not None
    return found.status


async def needs_attention(team: Play) -> bool:
    return bool((await team.handle.describe()).typed_search_attributes.get(NEEDS_ATTENTION))


async def set_quota(database: Database, team: Play, buyer: int, *, live: int) -> None:
    async with connection(database) as conn:
        sql = "UPDATE user_quotas SET live = $1 WHERE user_id = $2"
        await conn.execute(sql, live, team.request(buyer).user_id)


async def orders_of(database: Database, team: Play) -> dict[str, tuple[OrderStatus, str | None]]:
    orders = await list_orders(database, OrderFilter(team_id=team.team), None, 100)
    return {order.out_trade_no.rsplit("-", 1)[1]: (order.status, order.cancel_reason) for order in orders}


async def test_a_completed_team_stays_open_for_its_refund_window(
    time: WorkflowEnvironment, database: Database, queue: str
) -> None:
    team = await play(time, database, queue)
    handle = await team.open()
    await team.join(2)
    await team.join(3)
    assert [(await team.pay(buyer)).team.status for buyer in (1, 2, 3)] == ["forming", "forming", "completed"]
    await time.sleep(6 * DAY)
    assert (await team.pay(3)).outcome is PaymentOutcome.SETTLED  # a repeat, days later
    await time.sleep(DAY + MINUTE)
    assert await handle.result() == "completed, 3 paid"


async def test_an_unpaid_seat_is_given_up_after_window_and_grace(
    time: WorkflowEnvironment, database: Database, queue: str
) -> None:
    team = await play(time, database, queue)
    await team.open()
    await team.pay(1)
    await time.sleep(10 * MINUTE)
    await team.join(2)
    await time.sleep(15 * MINUTE + timedelta(seconds=10))
    assert (await orders_of(database, team))["2"] == (OrderStatus.LOCKED, None)
    await time.sleep(timedelta(seconds=25))
    assert (await orders_of(database, team))["2"] == (OrderStatus.CANCELLED, "lock_timeout")
    assert await status_of(database, team) is TeamStatus.FORMING
    assert (await team.pay(2)).outcome is PaymentOutcome.RESEATED
    assert "was paid late, and got a free seat again" in await team.details()
    await team.handle.signal("close")


async def test_a_payment_in_the_grace_is_settled(time: WorkflowEnvironment, database: Database, queue: str) -> None:
    team = await play(time, database, queue, target_count=2)
    await team.open()
    await team.join(2)
    await team.pay(1)
    await time.sleep(15 * MINUTE + timedelta(seconds=20))
    assert (await team.pay(2)).team.status is TeamStatus.COMPLETED


async def test_a_team_whose_last_member_leaves_is_abandoned(time: WorkflowEnvironment, database: Database, queue: str) -> None:
    team = await play(time, database, queue)
    handle = await team.open()
    # Apart: the test server fails a workflow task that cancels a timer which fires during that task.
    await time.sleep(MINUTE)
    await team.join(2)
    await time.sleep(16 * MINUTE)
    assert await handle.result() == "failed"
    found = await list_orders(database, OrderFilter(team_id=team.team), None, 10)
    assert {order.cancel_reason for order in found} == {"lock_timeout"}


async def test_a_team_that_ran_out_of_time_fails_and_pays_back_its_paid_members(
    time: WorkflowEnvironment, database: Database, queue: str
) -> None:
    team = await play(time, database, queue)
    handle = await team.open()
    await team.join(2)
    await team.pay(1)
    await time.sleep(DAY + HOUR)
    assert await handle.result() == "failed"
    await time.client.get_workflow_handle(refund_workflow_id(order_id(SOURCE, team.number(1)), 1)).result()
    assert await orders_of(database, team) == {"1": ("refunded", None), "2": ("cancelled", "lock_timeout")}


async def test_min_count_completes_at_the_deadline(time: WorkflowEnvironment, database: Database, queue: str) -> None:
    team = await play(time, database, queue, target_count=5, min_count=2)
    await team.open()
    for buyer in (2, 3):
        await team.join(buyer)
    for buyer in (1, 2):
        await team.pay(buyer)
    await time.sleep(DAY + HOUR)
    assert await status_of(database, team) is TeamStatus.COMPLETED
    assert (await orders_of(database, team))["3"] == (OrderStatus.CANCELLED, "lock_timeout")


async def test_the_deadline_waits_for_a_seat_that_may_still_be_paid(
    time: WorkflowEnvironment, database: Database, queue: str
) -> None:
    team = await play(time, database, queue, team_ttl=600, min_count=1)
    await team.open()
    await team.pay(1)
    await time.sleep(9 * MINUTE)
    await team.join(2)  # its window ends with the team, its grace 30 s later
    await time.sleep(MINUTE + timedelta(seconds=10))
    assert await status_of(database, team) is TeamStatus.FORMING
    with pytest.raises(WorkflowUpdateFailedError) as refused:
        await team.join(3)
    assert isinstance(refused.value.cause, ApplicationError)
    assert refused.value.cause.type == ErrorCode.TEAM_CLOSED
    assert (await team.pay(2)).outcome is PaymentOutcome.SETTLED
    await time.sleep(timedelta(seconds=1))
    assert await status_of(database, team) is TeamStatus.COMPLETED
    assert {order[0] for order in (await orders_of(database, team)).values()} == {OrderStatus.PAID}


async def test_extend_gives_the_team_more_time(time: WorkflowEnvironment, database: Database, queue: str) -> None:
    team = await play(time, database, queue)
    await team.open()
    await team.pay(1)
    await team.handle.signal("extend", {"minutes": 120, "operator": "ann"})
    await time.sleep(DAY + HOUR)
    assert await status_of(database, team) is TeamStatus.FORMING
    assert "extend by 120 min by ann" in await team.details()
    await time.sleep(2 * HOUR)
    assert await status_of(database, team) is TeamStatus.FAILED


async def test_extend_that_meets_the_end_of_its_team_says_so(time: WorkflowEnvironment, database: Database, queue: str) -> None:
    team = await play(time, database, queue)
    await team.open()
    now = await time.get_current_time()
    await conclude_team(database, ConcludeTeam(team_id=team.team, decision=TeamDecision.CLOSE, now=now))
    await team.handle.signal("extend", {"minutes": 120, "operator": "ann"})  # the workflow has not heard of the end
    assert await team.handle.result() == "failed"
    assert "extend by 120 min by ann (no reason given) changed nothing: The team was failed already." in await team.details()


async def test_a_team_whose_seats_cannot_be_released_is_flagged_and_goes_on_when_they_can(
    time: WorkflowEnvironment, database: Database, queue: str
) -> None:
    team = await play(time, database, queue)
    handle = await team.open()
    await team.join(2)
    await team.pay(1)
    await set_quota(database, team, 2, live=0)  # broken by hand: giving the seat back would make it negative

    await time.sleep(16 * MINUTE)
    failure = "a defect stopped this step: release 1 unpaid seat(s): `CheckViolationError"
    assert failure in await team.details()
    assert await needs_attention(team)
    await time.sleep(HOUR)
    await handle.signal("close", {"operator": "ann", "reason": "stuck"})
    await time.sleep(MINUTE)
    details = await team.details()
    assert details.count(failure) == 1
    assert "close by ann (stuck) failed" in details
    assert (await handle.describe()).history_length < 300  # it is repeated ever more rarely

    await set_quota(database, team, 2, live=1)
    await time.sleep(10 * MINUTE)
    assert (await orders_of(database, team))["2"] == (OrderStatus.CANCELLED, "lock_timeout")
    assert not await needs_attention(team)
    await time.sleep(DAY)
    assert await handle.result() == "failed"


async def test_complete_needs_somebody_who_has_paid(time: WorkflowEnvironment, database: Database, queue: str) -> None:
    team = await play(time, database, queue)
    await team.open()
    await team.join(2)
    await team.handle.signal("complete", {"operator": "ann", "reason": "enough"})
    await time.sleep(timedelta(seconds=1))
    assert "No member has paid" in await team.details()
    await team.pay(1)
    await team.handle.signal("complete", {"operator": "ann", "reason": "enough"})
    await time.sleep(timedelta(seconds=1))
    assert await status_of(database, team) is TeamStatus.COMPLETED
    assert (await orders_of(database, team))["2"] == (OrderStatus.CANCELLED, "team_completed")
    await team.handle.signal("close", {"operator": "bob"})
    await time.sleep(timedelta(seconds=1))
    assert "close by bob (no reason given) changed nothing: The team was completed already." in await team.details()


async def test_an_unusable_signal_changes_nothing_and_is_explained(
    time: WorkflowEnvironment, database: Database, queue: str, subtests: pytest.Subtests
) -> None:
    unusable: list[object] = ["text", "", ["a"], [], 7, 0, False]
    unusable += [{"operator": {"no": "text"}}, {"unknown": 1}, {"reason": "x" * 501}]
    for payload in unusable:
        with subtests.test(str(payload)[:40]):
            team = await play(time, database, queue)
            await team.open()
            await team.handle.signal("close", payload)
            await team.handle.signal("extend", payload)
            details = await team.details()
            assert "close changed nothing" in details
            assert "extend changed nothing" in details
            assert await status_of(database, team) is TeamStatus.FORMING


async def test_a_signal_with_two_payloads_changes_nothing(time: WorkflowEnvironment, database: Database, queue: str) -> None:
    team = await play(time, database, queue)
    await team.open()
    await team.handle.signal("close", args=[{"operator": "ann"}, {"operator": "bob"}])
    assert "close changed nothing: one JSON object is expected, not several" in await team.details()
    await team.join(2)


async def test_cancel_of_a_forming_team_closes_it(time: WorkflowEnvironment, database: Database, queue: str) -> None:
    team = await play(time, database, queue)
    handle = await team.open()
    await team.join(2)
    await team.pay(1)
    await handle.cancel()
    assert await handle.result() == "failed"
    assert (await orders_of(database, team))["2"] == (OrderStatus.CANCELLED, "team_failed")


async def test_a_team_without_a_first_seat_fails_so_that_its_opener_can_try_again(
    time: WorkflowEnvironment, database: Database, queue: str
) -> None:
    team = await play(time, database, queue, stock=0)
    with pytest.raises(WorkflowUpdateFailedError) as refused:
        await team.open()
    assert isinstance(refused.value.cause, ApplicationError)
    assert refused.value.cause.type == ErrorCode.STOCK_EXHAUSTED
    with pytest.raises(WorkflowFailureError) as failed:
        await team.handle.result()
    assert isinstance(failed.value.cause, ApplicationError)
    assert failed.value.cause.type == WorkflowFailure.NO_FIRST_SEAT
    assert await read_team(database, SOURCE, team.team) is None
    with pytest.raises(WorkflowUpdateFailedError):  # a second run, and the same answer
        await team.open()


@pytest.mark.parametrize("answer", [OK, GONE])
async def test_the_mall_hears_of_a_lapse_that_ends_the_team_in_the_same_task_and_by_an_activity_where_it_refuses(
    time: WorkflowEnvironment, database: Database, queue: str, answer: int
) -> None:
    async with listening(SECRET) as receiver:
        receiver.answer_with(lambda _: web.Response(status=answer))
        team = await play(time, database, queue)
        team.callback = Address(kind="http", address=receiver.callback()["url"])
        handle = await team.open()
        await time.sleep(16 * MINUTE)
        assert await handle.result() == "failed"
        assert [one.type for one in receiver.received] == [EventType.ORDER_CANCELLED]
    events = [event async for event in handle.fetch_history_events()]
    activities = [event for event in events if event.HasField("activity_task_scheduled_event_attributes")]
    fired = max(number for number, event in enumerate(events) if event.HasField("timer_fired_event_attributes"))
    tasks = sum(event.HasField("workflow_task_completed_event_attributes") for event in events[fired:])
    assert (len(activities), tasks) == ((0, 1) if answer == OK else (1, 2))
