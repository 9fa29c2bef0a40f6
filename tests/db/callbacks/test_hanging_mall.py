"""A mall that hangs uses up its own turns: whoever comes for another mall gets one at once."""

import asyncio
from collections import Counter
from datetime import datetime, timedelta
from typing import Any

import pytest
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities.callbacks.deliver import CallbackActivities, RetryPlan
from activities.callbacks.per_mall_limit import AT_ONCE, PerMallLimit
from activities.callbacks.senders.base import Reply
from db.callbacks.deliveries import Delivery
from db.settings.malls import MallRecord, save_mall
from domain.messages.base import WorkflowFailure
from domain.messages.callbacks import Deliver, Delivered
from tests.api.polling import until
from tests.db.shop import NOW, SOURCE, Shop

HANGING = "s02"
PLAN = RetryPlan(first=timedelta(seconds=1), most=timedelta(hours=1), give_up=timedelta(days=30000))


class Malls:
    """A sender to which one mall says nothing until it is released."""

    def __init__(self) -> None:
        self.released = asyncio.Event()
        self.tried: Counter[str] = Counter()

    async def send(self, delivery: Delivery, now: datetime) -> Reply:  # noqa: ARG002 - a sender takes it
        self.tried[delivery.source] += 1
        if delivery.source == HANGING:
            await self.released.wait()
        return Reply(200, None)


@pytest.fixture
async def malls(shop: Shop) -> Malls:
    await save_mall(shop.database, MallRecord(HANGING, "It hangs", None, ("127.0.0.1",), ("whsec_dGVzdHM=",), local=True))
    return Malls()


@pytest.fixture
def callbacks(shop: Shop, malls: Malls) -> CallbackActivities:
    return CallbackActivities(shop.database, {"http": malls}, PLAN, turns=PerMallLimit(patience=0.05))


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


async def test_a_hundred_callbacks_to_a_mall_that_hangs_hold_up_nobody(
    shop: Shop, malls: Malls, callbacks: CallbackActivities
) -> None:
    hanging = [asyncio.create_task(deliver(callbacks, [event])) for event in await events(shop, HANGING, 100)]

    async def under_way() -> int:
        return malls.tried[HANGING]

    await until(under_way, lambda tried: tried == AT_ONCE)
    for event in await events(shop, SOURCE, 30):
        assert await deliver(callbacks, [event]) == Delivered(delivered=1, dead=0)
    # Who found no turn is to come again later, and holds no place meanwhile.
    turned_away, _ = await asyncio.wait(hanging, timeout=10, return_when=asyncio.FIRST_EXCEPTION)
    assert turned_away
    malls.released.set()
    ends = await asyncio.gather(*hanging, return_exceptions=True)
    failures = [end for end in ends if isinstance(end, ApplicationError)]
    assert len(failures) + sum(end == Delivered(delivered=1, dead=0) for end in ends) == 100
    assert {failure.type for failure in failures} == {WorkflowFailure.CALLBACKS_PENDING}
    delays = [failure.next_retry_delay for failure in failures]
    assert all(delay is not None and timedelta(seconds=0.4) < delay < timedelta(seconds=5) for delay in delays)
    assert malls.tried[HANGING] == 100 - len(failures)


async def test_in_one_sweep_a_mall_that_hangs_holds_up_no_other(
    shop: Shop, malls: Malls, callbacks: CallbackActivities
) -> None:
    both = [*await events(shop, HANGING, 40), *await events(shop, SOURCE, 40)]
    sweep = asyncio.create_task(deliver(callbacks, both))

    async def told() -> int:
        return malls.tried[SOURCE]

    await until(told, lambda tried: tried == 40)
    malls.released.set()
    assert await sweep == Delivered(delivered=80, dead=0)


async def test_a_first_try_that_finds_no_turn_is_somebody_else_s(
    shop: Shop, malls: Malls, callbacks: CallbackActivities
) -> None:
    ids = await events(shop, HANGING, AT_ONCE + 1)
    hanging = [asyncio.create_task(callbacks.try_once(HANGING, [event])) for event in ids[:-1]]

    async def under_way() -> int:
        return malls.tried[HANGING]

    await until(under_way, lambda tried: tried == AT_ONCE)
    assert await callbacks.try_once(HANGING, ids[-1:]) is False
    malls.released.set()
    assert await asyncio.gather(*hanging) == [True] * AT_ONCE
