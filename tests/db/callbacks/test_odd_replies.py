"""Every attempt is recorded, whatever its result: otherwise it would be repeated for ever, unseen."""

from datetime import datetime, timedelta

import pytest
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities.callbacks.deliver import CallbackActivities
from activities.callbacks.retries import RetrySchedule
from activities.callbacks.senders.base import SendResult
from db.callbacks.deliveries import Delivery
from domain.ids import event_id
from domain.lifecycle import MallAnswer
from domain.messages.base import WorkflowFailure
from domain.messages.callbacks import Deliver, Delivered
from tests.db.shop import SHOP_ADDRESS, Shop

RETRIES = RetrySchedule(timedelta(seconds=1), timedelta(hours=1), give_up_after=timedelta(days=30000))
ATTEMPTS = "SELECT http_status, error FROM delivery_attempts"


class Sender:
    def __init__(self, result: SendResult | Exception) -> None:
        self._result = result

    async def send(self, delivery: Delivery, now: datetime) -> SendResult:  # noqa: ARG002 - a sender takes it
        if isinstance(self._result, Exception):
            raise self._result
        return self._result


async def deliver(shop: Shop, result: SendResult | Exception) -> Delivered:
    opener = shop.opener(await shop.campaign(), callback=SHOP_ADDRESS)
    await shop.lock(opener)
    await shop.release(opener)
    callbacks = CallbackActivities(shop.database, {"http": Sender(result)}, RETRIES)
    request = Deliver(event_ids=[event_id("order.cancelled", opener.order_id)])
    delivered: Delivered = await ActivityEnvironment().run(callbacks.deliver, request)
    return delivered


@pytest.mark.parametrize(
    ("result", "status", "error"),
    [
        (SendResult(500, "answered \0 500"), 500, "answered  500"),
        (RuntimeError("with whsec_c2VjcmV0 in its message"), None, "a defect of the platform: RuntimeError"),
    ],
    ids=["a NUL", "a defect"],
)
async def test_an_odd_failure_is_recorded_as_a_failed_attempt(
    shop: Shop, result: SendResult | Exception, status: int | None, error: str
) -> None:
    with pytest.raises(ApplicationError) as pending:
        await deliver(shop, result)
    assert pending.value.type == WorkflowFailure.CALLBACKS_PENDING
    assert [tuple(row.values()) for row in await shop.rows(ATTEMPTS)] == [(status, error)]


async def test_the_note_of_a_veto_may_contain_any_character(shop: Shop) -> None:
    veto = SendResult(409, None, answer=MallAnswer.VETOED, note="packed\0")
    assert await deliver(shop, veto) == Delivered(delivered=1, dead=0)
