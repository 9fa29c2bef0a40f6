"""What is sent again, what the feed shows, and what operators see of callbacks."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from db.callbacks.deliveries import pending_deliveries, record_attempt
from db.callbacks.queries import CallbackFilter, list_callbacks, read_backlog, read_callback, read_feed
from db.callbacks.redelivery import RedeliverySlice, redeliver_event, redeliver_range, redeliver_team
from db.core.pagination import Position
from domain.ids import event_id
from domain.lifecycle import MallAnswer, TeamDecision
from domain.messages.callbacks import Address
from tests.db.callbacks.test_deliveries import OTHER_ADDRESS, attempt
from tests.db.callbacks.test_deliveries import told as told_in_any_order
from tests.db.shop import NOW, SHOP_ADDRESS, SOURCE, Member, Shop

LATER = NOW + timedelta(hours=5)
LONG_AGO, NEVER = NOW - timedelta(days=9), NOW + timedelta(days=9)
STATES = "SELECT DISTINCT status, attempts, since, next_attempt_at, finished_at FROM deliveries WHERE event_id = ANY($1)"
AS_NEW = ("pending", 0, LATER, LATER, None)
ORIGINAL = Address(kind="http", address="http://127.0.0.1:9/notify", format="original")


async def told(shop: Shop) -> list[str]:
    """The events of a closed team: order.cancelled, to one address, and team.failed, to two."""
    pending = await pending_deliveries(shop.database, await told_in_any_order(shop))
    return list(dict.fromkeys(delivery.event_id for delivery in pending))


async def end(shop: Shop, events: list[str], status: Any) -> None:  # noqa: ANN401
    for delivery in await pending_deliveries(shop.database, events):
        await record_attempt(shop.database, delivery, attempt(status))


async def states(shop: Shop, events: list[str]) -> list[tuple[object, ...]]:
    return [tuple(row) for row in await shop.rows(STATES, events)]


async def leaver(shop: Shop, address: Address = SHOP_ADDRESS) -> Member:
    """A member of a completed team, whose mall is asked, or told, that he leaves."""
    members = await shop.team(await shop.campaign(), locked=0, paid=3, callback=address)
    await shop.refund(members[0])
    return members[0]


@pytest.mark.parametrize("status", ["dead", "delivered", "pending"])
async def test_one_event_is_due_again_whatever_became_of_it(shop: Shop, status: str) -> None:
    events = await told(shop)
    await end(shop, events, status)
    assert await redeliver_event(shop.database, events[0], SOURCE, LATER) == RedeliverySlice([events[0]], [])
    assert await states(shop, events[:1]) == [AS_NEW]
    assert all(state[0] == status for state in await states(shop, events[1:]))
    assert await redeliver_event(shop.database, events[0], "s02", LATER) is None
    assert await redeliver_event(shop.database, "evt_unknown", None, LATER) is None


async def test_of_a_time_those_that_were_given_up_are_due_again(shop: Shop) -> None:
    dead, taken, elsewhere = await told(shop), await told(shop), await told(shop)
    await end(shop, dead, "dead")
    await end(shop, taken, "delivered")
    at = (await shop.rows("SELECT occurred_at FROM events"))[0]["occurred_at"]

    nothing = await redeliver_range(shop.database, SOURCE, LONG_AGO, at, "dead", LATER)
    resent = await redeliver_range(shop.database, SOURCE, at, at + timedelta(seconds=1), "dead", LATER)

    assert nothing == RedeliverySlice([], [])
    assert (sorted(resent.event_ids), resent.refunds) == (sorted(dead), [])
    assert await states(shop, dead) == [AS_NEW]
    assert {state[0] for state in await states(shop, taken)} == {"delivered"}
    assert AS_NEW not in await states(shop, elsewhere)
    assert (await redeliver_range(shop.database, "s02", LONG_AGO, NEVER, "delivered", LATER)).event_ids == []


async def test_a_refund_under_way_is_left_to_its_workflow(shop: Shop) -> None:
    asked, released = await leaver(shop), await leaver(shop)
    await shop.answer(released, MallAnswer.AGREED)
    question = event_id("order.refund_requested", asked.order_id)
    refunded = event_id("order.refunded", released.order_id)
    await end(shop, [question, refunded], "dead")

    for event, member in ((question, asked), (refunded, released)):
        assert await redeliver_event(shop.database, event, None, LATER) == RedeliverySlice([], [member.order_id])
    resent = await redeliver_range(shop.database, SOURCE, LONG_AGO, NEVER, "dead", LATER)

    assert resent.event_ids == []
    assert sorted(resent.refunds) == sorted([asked.order_id, released.order_id])
    assert {state[0] for state in await states(shop, [question, refunded])} == {"dead"}


async def test_a_question_with_its_answer_is_not_asked_again_and_what_was_closed_by_hand_not_told(shop: Shop) -> None:
    vetoed, closed = await leaver(shop), await leaver(shop)
    await shop.answer(vetoed, MallAnswer.VETOED)
    await shop.answer(closed, MallAnswer.AGREED)
    refunded = event_id("order.refunded", closed.order_id)
    events = [refunded, *(event_id("order.refund_requested", member.order_id) for member in (vetoed, closed))]
    await end(shop, events[1:], "dead")
    await shop.finish(closed)

    assert await redeliver_range(shop.database, SOURCE, LONG_AGO, NEVER, "dead", LATER) == RedeliverySlice([], [])
    assert await redeliver_event(shop.database, events[1], None, LATER) == RedeliverySlice([], [])
    # One event by its name is what somebody means.
    assert await redeliver_event(shop.database, refunded, None, LATER) == RedeliverySlice([refunded], [])


async def test_what_was_told_may_be_told_again_without_breaking_an_invariant(shop: Shop) -> None:
    members = await shop.team(await shop.campaign(), locked=1, paid=1, callback=SHOP_ADDRESS)
    await shop.refund(members[0])
    refunded = event_id("order.refunded", members[0].order_id)
    await end(shop, [refunded], "delivered")
    await shop.execute("UPDATE refunds SET status = 'done', finished_at = $1", NOW)
    await shop.execute("UPDATE orders SET status = 'refunded' WHERE order_id = $1", members[0].order_id)
    assert await redeliver_event(shop.database, refunded, SOURCE, LATER) == RedeliverySlice([refunded], [])


async def test_a_team_s_dead_callbacks_are_revived_by_a_step_that_may_repeat(shop: Shop) -> None:
    events, others = await told(shop), await told(shop)
    await end(shop, [*events, *others], "dead")
    [team] = await shop.rows("SELECT DISTINCT team_id FROM events WHERE event_id = ANY($1)", events)
    assert await redeliver_team(shop.database, team["team_id"], LATER) == events
    assert await redeliver_team(shop.database, team["team_id"], LATER) == events
    assert await states(shop, events) == [AS_NEW]
    assert {state[0] for state in await states(shop, others)} == {"dead"}
    await end(shop, events, "delivered")
    assert await redeliver_team(shop.database, team["team_id"], LATER) == []


# --- the original's format ---


async def test_an_order_in_the_original_s_format_is_told_of_completion_and_of_refunds_over_rabbitmq(shop: Shop) -> None:
    leaving = await leaver(shop, ORIGINAL)
    failing = await shop.team(await shop.campaign(), locked=1, paid=1, callback=ORIGINAL)
    await shop.conclude(failing[0], TeamDecision.CLOSE)

    rows = await shop.rows("SELECT type, kind, address, format FROM deliveries JOIN events USING (event_id)")

    assert sorted(map(tuple, rows)) == [
        ("order.refunded", "amqp", "topic.team_refund", "original"),
        ("team.completed", "http", "http://127.0.0.1:9/notify", "original"),
    ]
    [refunded] = await pending_deliveries(shop.database, [event_id("order.refunded", leaving.order_id)])
    named = (refunded.order_id, refunded.user_id, refunded.campaign_id)
    assert named == (leaving.order_id, leaving.request.user_id, leaving.campaign.campaign_id)


async def test_who_is_told_over_rabbitmq_anyway_hears_of_orders_that_ended_unpaid(shop: Shop) -> None:
    queue = Address(kind="amqp", address="topic.team_success", format="original")
    [unpaid] = await shop.team(await shop.campaign(), locked=1, callback=queue)
    await shop.release(unpaid)

    [told] = await pending_deliveries(shop.database, [event_id("order.cancelled", unpaid.order_id)])

    assert (told.kind, told.address, told.format) == ("amqp", "topic.team_refund", "original")


# --- reading ---


async def test_the_feed_has_no_gaps_and_no_latecomers_while_many_write(shop: Shop) -> None:
    campaign = await shop.campaign()
    writers = [asyncio.create_task(closing(shop, await shop.team(campaign, locked=2))) for _ in range(12)]
    seen: list[int] = []
    while not all(writer.done() for writer in writers) or len(seen) < 12 * 3:
        page, again = await asyncio.gather(*(read_feed(shop.database, SOURCE, len(seen), 7) for _ in range(2)))
        assert [event.sequence for event in again][: len(page)] == [event.sequence for event in page][: len(again)]
        seen += [event.sequence for event in page]
    assert seen == list(range(1, 12 * 3 + 1))
    assert await read_feed(shop.database, SOURCE, len(seen), 7) == []
    assert await read_feed(shop.database, "s02", 0, 7) == []


async def closing(shop: Shop, team: list[Member]) -> None:
    await shop.conclude(team[0], TeamDecision.CLOSE)


async def test_the_list_goes_through_every_address_once_and_filters(shop: Shop) -> None:
    first, second = await told(shop), await told(shop)
    await end(shop, first, "dead")
    pages: list[tuple[str, str]] = []
    after: Position | None = None
    while rows := await list_callbacks(shop.database, CallbackFilter(), after, 2):
        pages += [(row.event_id, row.address) for _, row in rows]
        after = Position(NOW, rows[-1][0])
    assert len(pages) == len(set(pages)) == 6
    assert {event for event, _ in pages[:3]} == set(second)

    async def found(**wanted: Any) -> set[str]:  # noqa: ANN401
        rows = await list_callbacks(shop.database, CallbackFilter(**wanted), None, 100)
        return {row.event_id for _, row in rows}

    assert await found(status="dead") == set(first)
    assert await found(status="dead", source="s02") == set()
    assert await found(type="team.failed") == {first[-1], second[-1]}
    assert await found(event_id=first[0]) == {first[0]}
    assert await found(since=LONG_AGO, until=NEVER) == {*first, *second}
    assert await found(until=LONG_AGO) == set()
    [(_, row)] = await list_callbacks(shop.database, CallbackFilter(event_id=first[0]), None, 9)
    assert (row.status, row.attempts, row.last_status, row.last_error) == ("dead", 1, 500, "answered 500")
    assert row.out_trade_no is not None


async def test_one_event_with_every_attempt_and_how_many_wait(shop: Shop) -> None:
    events = await told(shop)
    await end(shop, events[-1:], "pending")
    await end(shop, events[-1:], "dead")
    found = await read_callback(shop.database, events[-1])
    assert found is not None
    assert {row.address for row in found.deliveries} == {SHOP_ADDRESS.address, OTHER_ADDRESS.address}
    assert [(each.http_status, each.error) for each in found.attempts] == [(500, "answered 500")] * 4
    assert found.data["team_id"]
    assert await read_callback(shop.database, "evt_unknown") is None
    backlog = await read_backlog(shop.database)
    assert (backlog.pending, backlog.dead) == (1, 2)
    assert backlog.oldest is not None
