"""A mall that hangs uses up its own slots: callbacks to other malls are not held up."""

import asyncio
from collections import Counter
from datetime import datetime, timedelta
from typing import Any

import pytest
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities.callbacks.deliver import CallbackActivities
from activities.callbacks.per_mall_limit import CONCURRENT_ATTEMPTS, PerMallLimit
from activities.callbacks.retries import RetrySchedule
from activities.callbacks.senders.base import SendResult
from db.attention import list_attention
from db.callbacks.deliveries import Delivery
from db.settings.malls import MallRecord, save_mall
from domain.messages.base import WorkflowFailure
from domain.messages.callbacks import Deliver, Delivered
from domain.messages.reconciliation import Reconcile
from tests.api.polling import until
from tests.db.shop import NOW, SOURCE, Shop

HANGING = "s02"
RETRIES = RetrySchedule(timedelta(seconds=1), timedelta(hours=1), give_up_after=timedelta(days=30000))


class Malls:
    """A sender to malls of which one does not answer until it is released."""

    def __init__(self) -> None:
        self.released = asyncio.Event()
        self.attempts: Counter[str] = Counter()

    async def send(self, delivery: Delivery, now: datetime) -> SendResult:  # noqa: ARG002 - a sender takes it
        self.attempts[delivery.source] += 1
        if delivery.source == HANGING:
            await self.released.wait()
        return SendResult(200, None)


@pytest.fixture
async def malls(shop: Shop) -> Malls:
    await save_mall(shop.database, MallRecord(HANGING, "It hangs", None, ("127.0.0.1",), ("whsec_dGVzdHM=",), local=True))
    return Malls()


@pytest.fixture
def callbacks(shop: Shop, malls: Malls) -> CallbackActivities:
    return CallbackActivities(shop.database, {"http": malls}, RETRIES, per_mall_limit=PerMallLimit(timeout_seconds=0.05))


async def events(shop: Shop, source: str, count: int) -> list[str]:
    ids = [f"evt_{source}_{number}" for number in range(count)]
    await shop.execute(
        "INSERT INTO events (event_id, source, type, team_id, data, occurred_at)"
        " SELECT id, $2, 'order.cancelled', 'none', '{}', $3 FROM unnest($1::text[]) AS id",
        *(ids, source, NOW),
    )
    await shop.execute(
        "INSERT INTO deliveries (event_id, kind, address, format, status, attempts, since, next_attempt_at)"
        " SELECT id, 'http', 'http://127.0.0.1:9/', 'standard', 'pending', 0, $2, $2 FROM unnest($1::text[]) AS id",
        *(ids, NOW),
    )
    return ids


async def deliver(callbacks: CallbackActivities, event_ids: list[str]) -> Any:  # noqa: ANN401
    return await ActivityEnvironment().run(callbacks.deliver, Deliver(event_ids=event_ids))


async def test_a_hundred_callbacks_to_a_mall_that_hangs_hold_up_no_other_mall(
    shop: Shop, malls: Malls, callbacks: CallbackActivities
) -> None:
    hanging = [asyncio.create_task(deliver(callbacks, [event])) for event in await events(shop, HANGING, 100)]

    async def in_progress() -> int:
        return malls.attempts[HANGING]

    await until(in_progress, lambda attempts: attempts == CONCURRENT_ATTEMPTS)
    for event in await events(shop, SOURCE, 30):
        assert await deliver(callbacks, [event]) == Delivered(delivered=1, dead=0)
    # A delivery that found no slot is retried later, and holds no slot meanwhile.
    no_slot, _ = await asyncio.wait(hanging, timeout=10, return_when=asyncio.FIRST_EXCEPTION)
    assert no_slot
    malls.released.set()
    ends = await asyncio.gather(*hanging, return_exceptions=True)
    failures = [end for end in ends if isinstance(end, ApplicationError)]
    assert len(failures) + sum(end == Delivered(delivered=1, dead=0) for end in ends) == 100
    assert {failure.type for failure in failures} == {WorkflowFailure.CALLBACKS_PENDING}
    delays = [failure.next_retry_delay for failure in failures]
    assert all(delay is not None and timedelta(seconds=0.4) < delay < timedelta(seconds=5) for delay in delays)
    assert malls.attempts[HANGING] == 100 - len(failures)


async def test_reconciliation_reaches_other_malls_beside_one_that_hangs_and_one_that_is_broken(
    shop: Shop, malls: Malls, callbacks: CallbackActivities
) -> None:
    await events(shop, HANGING, 600)
    broken = "s03"
    await save_mall(shop.database, MallRecord(broken, "Broken", None, ("127.0.0.1",), ("whsec_dGVzdHM=",), local=True))
    await events(shop, broken, 2)
    # The other one has no sequence, and no number is left for it.
    await shop.execute("UPDATE events SET sequence = 9223372036854775807 WHERE event_id = $1", f"evt_{broken}_0")
    await shop.execute("UPDATE deliveries SET next_attempt_at = next_attempt_at - interval '1 day'")
    await events(shop, SOURCE, 1)
    reconcile = Reconcile(now=NOW + timedelta(hours=1))
    run = asyncio.create_task(ActivityEnvironment().run(callbacks.deliver_overdue, reconcile))

    async def attempted() -> int:
        return malls.attempts[SOURCE]

    await until(attempted, lambda attempts: attempts == 1)
    malls.released.set()
    assert (await run).failed == 1
    [attention] = await list_attention(shop.database, None, 9)
    assert (attention.kind, attention.subject, attention.workflow) == ("mall", broken, None)
    assert "bigint out of range" in attention.detail

    await shop.execute("UPDATE events SET sequence = NULL WHERE event_id = $1", f"evt_{broken}_0")
    await ActivityEnvironment().run(callbacks.deliver_overdue, reconcile)
    assert malls.attempts[broken] == 2
    assert await list_attention(shop.database, None, 9) == []


async def test_within_one_activity_a_mall_that_hangs_holds_up_no_other(
    shop: Shop, malls: Malls, callbacks: CallbackActivities
) -> None:
    both = [*await events(shop, HANGING, 40), *await events(shop, SOURCE, 40)]
    delivery = asyncio.create_task(deliver(callbacks, both))

    async def attempted() -> int:
        return malls.attempts[SOURCE]

    await until(attempted, lambda attempts: attempts == 40)
    malls.released.set()
    assert await delivery == Delivered(delivered=80, dead=0)
