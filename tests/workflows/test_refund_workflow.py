"""Refunds in time: windows of minutes to days, and malls that do not answer, in seconds."""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from aiohttp import web
from temporalio.client import WorkflowFailureError, WorkflowUpdateFailedError
from temporalio.exceptions import ApplicationError
from temporalio.testing import WorkflowEnvironment

from api.services.refunds import RefundService
from db.core.connection import Database, connection
from db.core.invariants import violations
from db.orders.queries import read_order
from db.refunds.queries import look_up_refund
from db.teams.queries import read_team
from domain.ids import event_id
from domain.lifecycle import OrderStatus, PaymentOutcome, RefundKind, RefundStatus, TeamStatus
from domain.messages.base import WorkflowFailure
from domain.messages.callbacks import Address
from domain.messages.refunds import RefundInput, RefundRequest
from domain.schemas.events import EventType
from domain.schemas.refunds import Refund
from settings import Settings
from tests.api.polling import until
from tests.api.receiver import Receiver, listening
from tests.api.signals import Handle, details
from tests.workflows.play import SECRET, SOURCE, Play, publish, working
from workflows.search_attributes import NEEDS_ATTENTION
from workflows.starters import start_refund

MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)
GONE = 410


@pytest.fixture
async def queue(time: WorkflowEnvironment, database: Database) -> AsyncIterator[str]:
    async with working(time.client, database) as made:
        yield made
    assert await violations(database) == []


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with listening(SECRET) as receiver:
        yield receiver


async def play(time: WorkflowEnvironment, database: Database, queue: str, receiver: Receiver, **changes: object) -> Play:
    campaign, campaign_id, goods_id = await publish(database, **changes)
    callback = Address(kind="http", address=receiver.callback()["url"])
    return Play(time.client, queue, campaign, campaign_id, goods_id, callback=callback)


async def completed(team: Play) -> None:
    await team.open()
    for buyer in (2, 3):
        await team.join(buyer)
    for buyer in (1, 2, 3):
        await team.pay(buyer)


async def order_status(database: Database, team: Play, buyer: int) -> OrderStatus:
    found = await read_order(database, SOURCE, team.number(buyer))
    assert found is not None
    return found.order.status


async def refund_of(database: Database, team: Play, buyer: int) -> Refund:
    place = await look_up_refund(database, SOURCE, team.number(buyer))
    assert place is not None
    assert place.refund is not None
    return place.refund


async def team_status(database: Database, team: Play) -> TeamStatus:
    found = await read_team(database, SOURCE, team.team)
    assert found is not None
    return found.status


async def is_flagged(workflow: Handle) -> bool:
    return bool((await workflow.describe()).typed_search_attributes.get(NEEDS_ATTENTION))


async def test_a_refund_shortly_before_the_window_closes_and_one_after(
    time: WorkflowEnvironment, database: Database, queue: str, receiver: Receiver
) -> None:
    team = await play(time, database, queue, receiver)
    await completed(team)
    await time.sleep(7 * DAY - MINUTE)
    assert (await team.refund(1)).kind is RefundKind.PAID_FORMED
    assert await team.refund_handle(1).result() == "paid_formed: done"
    assert await team_status(database, team) is TeamStatus.COMPLETED_WITH_REFUNDS
    assert "**completed_with_refunds**" in await team.details()
    await time.sleep(2 * MINUTE)
    assert await team.handle.result() == "completed_with_refunds, 2 paid"
    with pytest.raises(WorkflowUpdateFailedError) as refused:
        await team.refund(2)
    assert isinstance(refused.value.cause, ApplicationError)
    assert refused.value.cause.type == "refund_window_closed"
    with pytest.raises(WorkflowFailureError):
        await team.refund_handle(2).result()
    # Refused once is not refused for ever: the same refund can be asked for again, with force.
    assert (await team.refund(2, force=True, operator="ann")).attempt == 1
    assert await team.refund_handle(2).result() == "paid_formed: done"


async def test_a_refund_that_waits_beyond_the_window_was_requested_inside_it(
    time: WorkflowEnvironment, database: Database, queue: str, receiver: Receiver
) -> None:
    """The API's clock, which a request comes with, and the engine's, which has gone on: one of them judges."""
    team = await play(time, database, queue, receiver)
    await completed(team)
    requested_at = await time.get_current_time()
    await time.sleep(8 * DAY)
    api = RefundService(database, time.client, Settings(database_url="postgresql://localhost/unused"))
    refund, _ = await api.refund(SOURCE, team.number(1), RefundRequest())
    assert refund.kind is RefundKind.PAID_FORMED
    by_operator = RefundInput(source=SOURCE, out_trade_no=team.number(2), attempt=1, operator="ann", requested_at=requested_at)
    await start_refund(time.client, by_operator)
    assert await team.refund_handle(2).result() == "paid_formed: done"
    with pytest.raises(WorkflowUpdateFailedError):
        await team.refund(3)


async def test_when_the_last_member_has_left_the_team_s_workflow_ends_before_its_window(
    time: WorkflowEnvironment, database: Database, queue: str, receiver: Receiver
) -> None:
    team = await play(time, database, queue, receiver)
    await completed(team)
    for buyer in (1, 2, 3):
        await team.refund(buyer)
        await team.refund_handle(buyer).result()
    assert await team.handle.result() == "failed"
    assert await team_status(database, team) is TeamStatus.FAILED


async def test_a_freed_seat_gives_the_timer_back(
    time: WorkflowEnvironment, database: Database, queue: str, receiver: Receiver
) -> None:
    """The seat that was due next is gone: what is due after it still happens in its time."""
    team = await play(time, database, queue, receiver)
    await team.open()
    await time.sleep(5 * MINUTE)
    await team.join(2)
    await team.refund(1)
    assert await team.refund_handle(1).result() == "unpaid: done"
    await time.sleep(12 * MINUTE)  # the first seat would have been over, the second is not
    assert await order_status(database, team, 2) is OrderStatus.LOCKED
    await time.sleep(5 * MINUTE)
    assert await order_status(database, team, 2) is OrderStatus.CANCELLED
    assert await team.handle.result() == "failed"


async def test_a_payment_a_month_after_everything_goes_back(
    time: WorkflowEnvironment, database: Database, queue: str, receiver: Receiver
) -> None:
    team = await play(time, database, queue, receiver)
    await team.open()
    await time.sleep(30 * DAY)
    assert await team.handle.result() == "failed"
    settled = await team.pay_alone(1)
    assert (settled.outcome, settled.reason) == (PaymentOutcome.REFUNDING, "late_payment")
    assert await team.refund_handle(1).result() == "unsettled: done"
    assert await order_status(database, team, 1) is OrderStatus.REFUNDED
    assert (await refund_of(database, team, 1)).kind is RefundKind.UNSETTLED


async def test_a_question_without_an_answer_waits_for_weeks(
    time: WorkflowEnvironment, database: Database, queue: str, receiver: Receiver
) -> None:
    team = await play(time, database, queue, receiver)
    await completed(team)
    receiver.answer_to("order.refund_requested", web.Response(status=GONE))
    await team.refund(1)
    await time.sleep(30 * DAY)
    assert (await refund_of(database, team, 1)).status is RefundStatus.ATTENTION
    handle = team.refund_handle(1)
    await handle.signal("decide", {"approve": False, "operator": "ann", "note": "too late"})
    with pytest.raises(WorkflowFailureError) as failed:
        await handle.result()
    assert isinstance(failed.value.cause, ApplicationError)
    assert failed.value.cause.type == WorkflowFailure.REFUND_REJECTED
    assert failed.value.cause.message == "too late"
    assert await order_status(database, team, 1) is OrderStatus.PAID
    # Nobody forgets that: the next request is a second attempt, also weeks after the window, when an operator wants it so.
    assert (await team.refund(1, attempt=2, force=True)).attempt == 2
    assert await team.refund_handle(1, 2).result() == "paid_formed: done"


async def test_the_members_of_an_expired_team_are_paid_back_one_by_one(
    time: WorkflowEnvironment, database: Database, queue: str, receiver: Receiver
) -> None:
    team = await play(time, database, queue, receiver, target_count=50)
    await team.open()
    for buyer in range(2, 31):
        await team.join(buyer)
    for buyer in range(1, 30):
        await team.pay(buyer)
    receiver.answer_to("order.refunded", web.Response(status=GONE))  # one of them, whoever comes first
    await time.sleep(DAY + MINUTE)
    statuses = [(await refund_of(database, team, buyer)).status for buyer in range(1, 31)]
    assert sorted(statuses) == [RefundStatus.ATTENTION] + [RefundStatus.DONE] * 29
    stuck = statuses.index(RefundStatus.ATTENTION) + 1
    await team.refund_handle(stuck).signal("close_manually", {"operator": "ann", "note": "by phone"})
    assert await team.refund_handle(stuck).result() == "paid_unformed: done"


async def test_a_workflow_whose_request_never_came_ends(
    time: WorkflowEnvironment, database: Database, queue: str, receiver: Receiver
) -> None:
    team = await play(time, database, queue, receiver)
    await team.open()
    handle = await time.client.start_workflow(
        "RefundWorkflow",
        {"source": SOURCE, "out_trade_no": team.number(1), "awaits_request": True},
        id="refund-without-request",
        task_queue="groupbuy-refunds",
    )
    await details(handle)  # it has begun to wait
    # Not by the result of a handle that started it: until that has come, the server skips on, past the seat's own window.
    await time.sleep(2 * MINUTE)
    with pytest.raises(WorkflowFailureError) as failed:
        await time.client.get_workflow_handle(handle.id).result()
    assert isinstance(failed.value.cause, ApplicationError)
    assert failed.value.cause.type == WorkflowFailure.NO_REQUEST
    assert await order_status(database, team, 1) is OrderStatus.LOCKED
    await team.handle.signal("close")


async def test_a_waiting_refund_notices_that_its_callback_was_sent_again(
    time: WorkflowEnvironment, database: Database, queue: str, receiver: Receiver
) -> None:
    team = await play(time, database, queue, receiver)
    await team.open()
    await team.join(2)
    receiver.answer_to("order.cancelled", web.Response(status=GONE))
    assert (await team.refund(2)).status is RefundStatus.DONE
    handle = team.refund_handle(2)
    await time.sleep(10 * DAY)
    assert await is_flagged(handle)
    assert (await handle.describe()).history_length < 300
    async with connection(database) as conn:
        await conn.execute(
            "UPDATE deliveries SET status = 'pending', attempts = 0 WHERE event_id = $1",
            event_id(EventType.ORDER_CANCELLED, team.order(2)),
        )
    await time.sleep(DAY)
    assert await handle.result() == "unpaid: done"
    assert not await is_flagged(handle)
    sent = [one.event_id for one in await receiver.of_type("order.cancelled")]
    assert sent.count(event_id(EventType.ORDER_CANCELLED, team.order(2))) == 2


async def test_a_team_that_is_over_needs_nobody_s_attention(
    time: WorkflowEnvironment, database: Database, queue: str, receiver: Receiver
) -> None:
    team = await play(time, database, queue, receiver)
    receiver.answer_to("team.completed", web.Response(status=GONE))
    await completed(team)
    await until(lambda: is_flagged(team.handle), bool)
    await time.sleep(7 * DAY)
    assert await team.handle.result() == "completed, 3 paid"
    assert not await is_flagged(team.handle)
