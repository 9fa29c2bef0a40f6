"""A question to the mall is closed with its answer, whoever answers, and is not asked again."""

from datetime import timedelta

import pytest

from db.callbacks.deliveries import Attempt, pending_deliveries, record_attempt
from db.callbacks.queries import read_backlog
from db.callbacks.redelivery import RedeliverySlice, redeliver_event
from db.refunds.steps import answer_refund, flag_refund, reject_refund, resume_refund
from domain.ids import event_id
from domain.lifecycle import MallAnswer
from domain.messages.refunds import ChangeRefund
from domain.schemas.events import EventType
from domain.schemas.redeliveries import RedeliveryStatus
from tests.db.callbacks.ranges import revive_range
from tests.db.shop import NOW, SHOP_ADDRESS, SOURCE, Shop

HOUR = timedelta(hours=1)


async def deliveries(shop: Shop, event: str) -> list[tuple[object, ...]]:
    return [tuple(row) for row in await shop.rows("SELECT status, attempts FROM deliveries WHERE event_id = $1", event)]


@pytest.mark.parametrize("by", ["agreed", "vetoed", "cancelled", "agreed after it was dead"])
async def test_an_answered_question_is_closed_for_good(shop: Shop, by: str) -> None:
    member, *_ = await shop.team(await shop.campaign(), locked=0, paid=3, callback=SHOP_ADDRESS)
    await shop.execute("UPDATE deliveries SET status = 'delivered', finished_at = since")
    await shop.execute(
        "INSERT INTO delivery_attempts (event_id, kind, address, format, started_at, duration_ms)"
        " SELECT event_id, kind, address, format, since, 1 FROM deliveries"
    )
    await shop.refund(member)
    question = event_id(EventType.ORDER_REFUND_REQUESTED, member.order_id)
    [asking] = await pending_deliveries(shop.database, [question])
    change = ChangeRefund(order_id=member.order_id, attempt=1, now=NOW + HOUR)
    assert (await read_backlog(shop.database)).oldest == NOW

    match by:
        case "agreed" | "vetoed":
            await answer_refund(shop.database, change.model_copy(update={"answer": MallAnswer(by)}))
        case "cancelled":
            await reject_refund(shop.database, change)
        case _:
            await record_attempt(shop.database, asking, Attempt(NOW, 1, 500, "answered 500", "dead", NOW))
            await flag_refund(shop.database, change)
            await answer_refund(shop.database, change.model_copy(update={"answer": MallAnswer.AGREED}))

    attempts = int("dead" in by)
    assert await deliveries(shop, question) == [("closed", attempts)]
    assert (await read_backlog(shop.database)).oldest is None
    # Nothing asks again: no resend of an operator or the mall, and no attempt that was under way.
    await resume_refund(shop.database, change)
    assert await redeliver_event(shop.database, question, SOURCE, NOW + HOUR) == RedeliverySlice([], [])
    statuses: list[RedeliveryStatus] = ["dead", "pending", "all"]
    for status in statuses:
        slice_ = await revive_range(shop, NOW - HOUR, NOW + HOUR, status, NOW + HOUR)
        assert question not in slice_.event_ids
        assert slice_.refunds == []
    await record_attempt(shop.database, asking, Attempt(NOW, 1, 500, "answered 500", "pending", NOW))
    assert await deliveries(shop, question) == [("closed", attempts)]


@pytest.mark.parametrize("answer", list(MallAnswer))
async def test_an_answer_to_an_attempt_that_began_before_the_question_was_sent_again_ends_it(
    shop: Shop, answer: MallAnswer
) -> None:
    member, *_ = await shop.team(await shop.campaign(), locked=0, paid=3, callback=SHOP_ADDRESS)
    await shop.refund(member)
    question = event_id(EventType.ORDER_REFUND_REQUESTED, member.order_id)
    [asking] = await pending_deliveries(shop.database, [question])
    await resume_refund(shop.database, ChangeRefund(order_id=member.order_id, attempt=1, now=NOW + HOUR))

    await record_attempt(shop.database, asking, Attempt(NOW, 1, 200, None, "delivered", NOW, answer))

    assert await deliveries(shop, question) == [("delivered", 1)]
    assert await shop.value("SELECT answer FROM refunds") == answer
