"""Whatever comes of an attempt is recorded: else it would be made for ever, and nobody would see it."""

from datetime import datetime, timedelta

import pytest
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities.callbacks.deliver import CallbackActivities, RetryPlan
from activities.callbacks.senders.base import Reply
from db.callbacks.deliveries import Delivery
from domain.ids import event_id
from domain.lifecycle import MallAnswer
from domain.messages.base import WorkflowFailure
from domain.messages.callbacks import Deliver, Delivered
from tests.db.shop import SHOP_ADDRESS, Shop

PLAN = RetryPlan(first=timedelta(seconds=1), most=timedelta(hours=1), give_up=timedelta(days=30000))
ATTEMPTS = "SELECT http_status, error FROM delivery_attempts"


class Sender:
    def __init__(self, reply: Reply | Exception) -> None:
        self._reply = reply

    async def send(self, delivery: Delivery, now: datetime) -> Reply:  # noqa: ARG002 - a sender takes it
        if isinstance(self._reply, Exception):
            raise self._reply
        return self._reply


async def deliver(shop: Shop, reply: Reply | Exception) -> Delivered:
    opener = shop.opener(await shop.campaign(), callback=SHOP_ADDRESS)
    await shop.lock(opener)
    await shop.release(opener)
    callbacks = CallbackActivities(shop.database, {"http": Sender(reply)}, PLAN)
    asked = Deliver(event_ids=[event_id("order.cancelled", opener.order_id)])
    delivered: Delivered = await ActivityEnvironment().run(callbacks.deliver, asked)
    return delivered


@pytest.mark.parametrize(
    ("reply", "status", "error"),
    [
        (Reply(500, "answered \0 500"), 500, "answered  500"),
        (RuntimeError("of which whsec_c2VjcmV0 says too much"), None, "a defect of the platform: RuntimeError"),
    ],
    ids=["a NUL", "a defect"],
)
async def test_an_attempt_that_failed_oddly_is_one_that_failed(
    shop: Shop, reply: Reply | Exception, status: int | None, error: str
) -> None:
    with pytest.raises(ApplicationError) as pending:
        await deliver(shop, reply)
    assert pending.value.type == WorkflowFailure.CALLBACKS_PENDING
    assert [tuple(row.values()) for row in await shop.rows(ATTEMPTS)] == [(status, error)]


async def test_a_veto_may_say_anything(shop: Shop) -> None:
    veto = Reply(409, None, answer=MallAnswer.VETOED, note="packed\0")
    assert await deliver(shop, veto) == Delivered(delivered=1, dead=0)
