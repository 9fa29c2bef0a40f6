"""Redelivery of a range: in slices, once each, beside fresh callbacks, and whatever stops it in between."""

import asyncio
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from temporalio.testing import ActivityEnvironment

from activities.callbacks.deliver import CallbackActivities
from activities.callbacks.per_mall_limit import CONCURRENT_ATTEMPTS
from activities.callbacks.redeliver import CONCURRENT_PER_MALL, RedeliveryActivities
from activities.callbacks.retries import RetrySchedule
from activities.callbacks.senders.base import SendResult
from db.callbacks.deliveries import Delivery
from db.callbacks.mass_redelivery import MAX_PENDING, PROBE, SLICE, read_redelivery
from db.callbacks.queries import read_backlog
from domain.ids import event_id
from domain.lifecycle import MallAnswer
from domain.messages.callbacks import Deliver, Delivered, RedeliverNext, RedeliveryState
from domain.messages.refunds import RefundInput
from domain.schemas.redeliveries import Redelivery
from tests.api.polling import until
from tests.db.callbacks.ranges import SEED, begin
from tests.db.callbacks.test_redelivery import leaver, record_attempts
from tests.db.shop import NOW, SOURCE, Shop

RETRIES = RetrySchedule(timedelta(seconds=1), timedelta(hours=1), give_up_after=timedelta(days=30000))
SINCE, UNTIL = NOW, NOW + timedelta(hours=1)
COUNT = 4 * SLICE + 100


class Mall:
    """A sender whose answers the test sets."""

    def __init__(self) -> None:
        self.sent: Counter[str] = Counter()
        self.at_once = self.most_at_once = 0
        self.is_up = True
        self.hangs = False
        self.released = asyncio.Event()

    async def send(self, delivery: Delivery, now: datetime) -> SendResult:  # noqa: ARG002 - a sender takes it
        self.sent[delivery.event_id] += 1
        if self.hangs and delivery.event_id.startswith("evt_dead"):
            self.at_once += 1
            self.most_at_once = max(self.at_once, self.most_at_once)
            await self.released.wait()
            self.at_once -= 1
        is_taken = self.is_up and not delivery.event_id.startswith("evt_poison")
        return SendResult(200, None) if is_taken else SendResult(500, "answered 500")


class Redeliveries:
    def __init__(self, shop: Shop) -> None:
        self.shop = shop
        self.mall = Mall()
        self.callbacks = CallbackActivities(shop.database, {"http": self.mall}, RETRIES)
        self.resumed: list[RefundInput] = []
        self.restart()

    def restart(self) -> None:
        """As a new worker process."""
        self.activities = RedeliveryActivities(self.shop.database, self.callbacks, self._resume, attempts_per_second=1e6)

    async def _resume(self, refund: RefundInput, signal: str, payload: dict[str, Any]) -> None:
        assert (signal, payload["operator"]) == ("resend", "redelivery 1")
        self.resumed.append(refund)

    async def seed(self, name: str, count: int, status: str, source: str = SOURCE) -> None:
        await self.shop.execute(SEED, name, source, SINCE, count, status, "http://127.0.0.1:9/")

    async def begin(self) -> Redelivery:
        return await begin(self.shop, SINCE, UNTIL, "dead", datetime.now(UTC))

    async def turn(self, redelivery: Redelivery, *, again: bool = False) -> RedeliveryState:
        request = RedeliverNext(redelivery_id=redelivery.redelivery_id, again=again)
        state = await ActivityEnvironment().run(self.activities.redeliver_next, request)
        assert isinstance(state, RedeliveryState)
        return state

    async def until_nothing_moves(self, redelivery: Redelivery) -> list[RedeliveryState]:
        states = [await self.turn(redelivery)]
        while states[-1].advanced and not states[-1].finished:
            states.append(await self.turn(redelivery))
        return states


@pytest.fixture
def redeliveries(shop: Shop) -> Redeliveries:
    return Redeliveries(shop)


async def test_a_range_is_sent_in_slices_and_a_repeat_has_nothing_to_send(shop: Shop, redeliveries: Redeliveries) -> None:
    await redeliveries.seed("dead", COUNT, "dead")
    for name, status, source in (("closed", "closed", SOURCE), ("pending", "pending", SOURCE), ("elsewhere", "dead", "s02")):
        await redeliveries.seed(name, 10, status, source)
    begun = await redeliveries.begin()
    assert (begun.count, begun.resent, begun.finished_at) == (COUNT, 0, None)

    states = await redeliveries.until_nothing_moves(begun)

    assert len(states) == 5
    assert sorted(state.resent for state in states) == [state.resent for state in states]
    assert (states[-1].delivered, states[-1].pending, states[-1].finished) == (COUNT, 0, True)
    assert redeliveries.mall.sent == {f"evt_dead_{number}": 1 for number in range(1, COUNT + 1)}
    assert (await read_backlog(shop.database)).dead == 10
    repeated = await redeliveries.begin()
    assert (repeated.count, repeated.workflow) == (0, None)
    assert repeated.finished_at is not None
    found = await read_redelivery(shop.database, begun.redelivery_id)
    assert found is not None
    assert (found.delivered, found.dead, found.requested_by) == (COUNT, 0, "ann")
    assert await read_redelivery(shop.database, 99) is None


async def test_a_redelivery_that_is_cut_off_goes_on_where_it_stopped(shop: Shop, redeliveries: Redeliveries) -> None:
    await redeliveries.seed("dead", COUNT, "dead")
    begun = await redeliveries.begin()
    await redeliveries.turn(begun)
    redeliveries.mall.hangs = True
    cut_off = asyncio.create_task(redeliveries.turn(begun))

    async def under_way() -> int:
        return redeliveries.mall.at_once

    await until(under_way, lambda count: count == CONCURRENT_PER_MALL)
    cut_off.cancel()
    with pytest.raises(asyncio.CancelledError):
        await cut_off
    redeliveries.mall.hangs = False
    redeliveries.restart()

    # A repeat joins what is unfinished.
    assert (await redeliveries.begin()).redelivery_id == begun.redelivery_id
    states = await redeliveries.until_nothing_moves(begun)

    assert (states[-1].resent, states[-1].delivered, states[-1].finished) == (COUNT, COUNT, True)
    assert set(redeliveries.mall.sent.values()) == {1, 2}
    assert sum(redeliveries.mall.sent.values()) == COUNT + CONCURRENT_PER_MALL
    assert await shop.value("SELECT count(*) FROM delivery_attempts") == COUNT


async def test_while_a_mall_takes_nothing_most_of_its_events_stay_as_they_are(redeliveries: Redeliveries) -> None:
    await redeliveries.seed("dead", COUNT, "dead")
    redeliveries.mall.is_up = False
    begun = await redeliveries.begin()

    for _ in range(5):
        last = (await redeliveries.until_nothing_moves(begun))[-1]

    assert last.pending == last.resent < MAX_PENDING + SLICE + 5 * PROBE < COUNT
    assert (last.delivered, last.next_attempt_at, last.finished) == (0, None, False)
    redeliveries.mall.is_up = True
    await redeliveries.turn(begun, again=True)
    assert (await redeliveries.until_nothing_moves(begun))[-1].delivered == COUNT


async def test_events_that_a_mall_does_not_take_hold_up_no_others(redeliveries: Redeliveries) -> None:
    poison = MAX_PENDING + SLICE
    await redeliveries.seed("poison", poison, "dead")
    await redeliveries.seed("dead", 100, "dead")
    await redeliveries.shop.execute(
        "UPDATE events SET occurred_at = occurred_at + interval '10 min' WHERE event_id LIKE 'evt_dead%'"
    )
    begun = await redeliveries.begin()

    async def turned() -> RedeliveryState:
        return await redeliveries.turn(begun)

    last = await until(turned, lambda state: state.delivered == 100, 60)

    assert (last.count, last.pending) == (poison + 100, poison)


async def test_what_is_not_sent_in_time_stays_dead(shop: Shop, redeliveries: Redeliveries) -> None:
    await redeliveries.seed("dead", COUNT, "dead")
    begun = await redeliveries.begin()
    await redeliveries.turn(begun)
    await shop.execute("UPDATE redeliveries SET gives_up_at = now()")
    last = await redeliveries.turn(begun)
    assert (last.finished, last.unsent) == (True, COUNT - SLICE)
    assert (await redeliveries.begin()).count == COUNT - SLICE


async def test_fresh_callbacks_of_the_same_mall_find_slots(shop: Shop, redeliveries: Redeliveries) -> None:
    await redeliveries.seed("dead", 100, "dead")
    await redeliveries.seed("fresh", 50, "pending")
    redeliveries.mall.hangs = True
    ranges = [await begin(shop, SINCE, UNTIL + timedelta(hours=n), "dead", datetime.now(UTC)) for n in range(3)]
    turns = [asyncio.create_task(redeliveries.turn(each)) for each in ranges]

    async def under_way() -> int:
        return redeliveries.mall.at_once

    await until(under_way, lambda count: count == CONCURRENT_PER_MALL)
    for number in range(1, 51):
        fresh = Deliver(event_ids=[f"evt_fresh_{number}"])
        assert await ActivityEnvironment().run(redeliveries.callbacks.deliver, fresh) == Delivered(delivered=1, dead=0)
    assert redeliveries.mall.most_at_once == CONCURRENT_PER_MALL < CONCURRENT_ATTEMPTS
    redeliveries.mall.released.set()
    await asyncio.gather(*turns)


async def test_events_of_refunds_under_way_are_left_to_their_workflows(shop: Shop, redeliveries: Redeliveries) -> None:
    asked, told = await leaver(shop), await leaver(shop)
    await shop.answer(told, MallAnswer.AGREED)
    question, refunded = event_id("order.refund_requested", asked.order_id), event_id("order.refunded", told.order_id)
    await shop.execute("UPDATE deliveries SET status = 'closed'")
    await shop.execute("UPDATE deliveries SET status = 'pending' WHERE event_id = ANY($1)", [question, refunded])
    await record_attempts(shop, [question, refunded], "dead")
    begun = await begin(shop, NOW - timedelta(days=9), NOW + timedelta(days=9), "dead", datetime.now(UTC))

    state = await redeliveries.turn(begun)

    assert (state.count, state.resent, state.refunds, state.finished) == (2, 2, 2, True)
    assert {refund.out_trade_no for refund in redeliveries.resumed} == {asked.number, told.number}
    assert redeliveries.mall.sent == {}
