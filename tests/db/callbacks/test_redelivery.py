"""Redelivery, the legacy format's deliveries, the event feed, and the operators' list of callbacks."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from db.callbacks.deliveries import pending_deliveries, record_attempt
from db.callbacks.queries import CallbackFilter, list_callbacks, read_backlog, read_callback, read_feed
from db.callbacks.redelivery import RedeliverySlice, redeliver_event, redeliver_team
from db.core.pagination import Position
from domain.ids import event_id
from domain.lifecycle import MallAnswer, TeamDecision
from domain.messages.acts import Outcome
from domain.messages.callbacks import Address
from tests.acts import act_of
from tests.db.audit import audit_of
from tests.db.callbacks.ranges import revive_range
from tests.db.callbacks.test_deliveries import OTHER_ADDRESS, attempt, close_team
from tests.db.shop import NOW, SHOP_ADDRESS, SOURCE, Member, Shop

LATER = NOW + timedelta(days=5)
LONG_AGO, NEVER = NOW - timedelta(days=9), NOW + timedelta(days=9)
STATES = "SELECT DISTINCT status, attempts, since, next_attempt_at, finished_at FROM deliveries WHERE event_id = ANY($1)"
DUE_AGAIN = ("pending", 0, LATER, LATER, None)
LEGACY = Address(kind="http", address="http://127.0.0.1:9/notify", format="original")


async def closed_team_events(shop: Shop) -> list[str]:
    """Closes a team; returns its events by sequence: order.cancelled with one delivery, team.failed with two."""
    pending = await pending_deliveries(shop.database, await close_team(shop))
    return list(dict.fromkeys(delivery.event_id for delivery in pending))


async def record_attempts(shop: Shop, events: list[str], status: Any) -> None:  # noqa: ANN401
    for delivery in await pending_deliveries(shop.database, events):
        await record_attempt(shop.database, delivery, attempt(status))


async def states(shop: Shop, events: list[str]) -> list[tuple[object, ...]]:
    return [tuple(row) for row in await shop.rows(STATES, events)]


async def leaver(shop: Shop, address: Address = SHOP_ADDRESS) -> Member:
    """Requests the refund of a member of a completed team, and returns the member."""
    members = await shop.team(await shop.campaign(), locked=0, paid=3, callback=address)
    await shop.refund(members[0])
    return members[0]


@pytest.mark.parametrize("status", ["dead", "delivered", "pending"])
async def test_an_attempt_that_began_before_a_redelivery_does_not_end_it(shop: Shop, status: Any) -> None:  # noqa: ANN401
    events = await closed_team_events(shop)
    [begun] = await pending_deliveries(shop.database, events[:1])
    await redeliver_event(shop.database, events[0], SOURCE, LATER)

    await record_attempt(shop.database, begun, attempt(status))

    assert await states(shop, events[:1]) == [DUE_AGAIN]
    assert await shop.value("SELECT count(*) FROM delivery_attempts WHERE event_id = $1", events[0]) == 1


@pytest.mark.parametrize("status", ["dead", "delivered", "pending"])
async def test_an_event_of_any_status_is_redelivered(shop: Shop, status: str) -> None:
    events = await closed_team_events(shop)
    await record_attempts(shop, events, status)
    assert await redeliver_event(shop.database, events[0], SOURCE, LATER) == RedeliverySlice([events[0]], [])
    assert await states(shop, events[:1]) == [DUE_AGAIN]
    assert all(state[0] == status for state in await states(shop, events[1:]))
    assert await redeliver_event(shop.database, events[0], "s02", LATER) is None
    assert await redeliver_event(shop.database, "evt_unknown", None, LATER) is None


async def test_a_range_redelivers_events_of_the_given_status(shop: Shop) -> None:
    dead, delivered, elsewhere = await closed_team_events(shop), await closed_team_events(shop), await closed_team_events(shop)
    await record_attempts(shop, dead, "dead")
    await record_attempts(shop, delivered, "delivered")
    at = (await shop.rows("SELECT occurred_at FROM events"))[0]["occurred_at"]

    nothing = await revive_range(shop, LONG_AGO, at, "dead", LATER)
    slice_ = await revive_range(shop, at, at + timedelta(seconds=1), "dead", LATER)

    assert nothing == RedeliverySlice([], [])
    assert (sorted(slice_.event_ids), slice_.refunds) == (sorted(dead), [])
    assert await states(shop, dead) == [DUE_AGAIN]
    assert {state[0] for state in await states(shop, delivered)} == {"delivered"}
    assert DUE_AGAIN not in await states(shop, elsewhere)
    assert (await revive_range(shop, LONG_AGO, NEVER, "delivered", LATER, "s02")).event_ids == []


async def test_events_of_an_unfinished_refund_are_left_to_its_workflow(shop: Shop) -> None:
    requested, released = await leaver(shop), await leaver(shop)
    await shop.answer(released, MallAnswer.AGREED)
    request = event_id("order.refund_requested", requested.order_id)
    refunded = event_id("order.refunded", released.order_id)
    await record_attempts(shop, [request, refunded], "dead")

    for event, member in ((request, requested), (refunded, released)):
        assert await redeliver_event(shop.database, event, None, LATER) == RedeliverySlice([], [member.order_id])
    slice_ = await revive_range(shop, LONG_AGO, NEVER, "dead", LATER)

    assert slice_.event_ids == []
    assert sorted(slice_.refunds) == sorted([requested.order_id, released.order_id])
    assert {state[0] for state in await states(shop, [request, refunded])} == {"dead"}


async def test_answered_requests_and_manually_closed_refunds_are_not_redelivered(shop: Shop) -> None:
    vetoed, closed = await leaver(shop), await leaver(shop)
    await shop.answer(vetoed, MallAnswer.VETOED)
    await shop.answer(closed, MallAnswer.AGREED)
    refunded = event_id("order.refunded", closed.order_id)
    events = [refunded, *(event_id("order.refund_requested", member.order_id) for member in (vetoed, closed))]
    await record_attempts(shop, events[1:], "dead")
    await shop.finish(closed)

    assert await revive_range(shop, LONG_AGO, NEVER, "dead", LATER) == RedeliverySlice([], [])
    assert await redeliver_event(shop.database, events[1], None, LATER) == RedeliverySlice([], [])
    # A single event is redelivered even if its refund was closed manually.
    assert await redeliver_event(shop.database, refunded, None, LATER) == RedeliverySlice([refunded], [])


async def test_redelivery_of_a_finished_refunds_event_keeps_the_invariants(shop: Shop) -> None:
    members = await shop.team(await shop.campaign(), locked=1, paid=1, callback=SHOP_ADDRESS)
    await shop.refund(members[0])
    refunded = event_id("order.refunded", members[0].order_id)
    await record_attempts(shop, [refunded], "delivered")
    await shop.execute("UPDATE refunds SET status = 'done', finished_at = $1", NOW)
    await shop.execute("UPDATE orders SET status = 'refunded' WHERE order_id = $1", members[0].order_id)
    assert await redeliver_event(shop.database, refunded, SOURCE, LATER) == RedeliverySlice([refunded], [])


async def test_redelivery_of_a_teams_dead_callbacks_is_idempotent(shop: Shop) -> None:
    events, others = await closed_team_events(shop), await closed_team_events(shop)
    await record_attempts(shop, [*events, *others], "dead")
    [team] = await shop.rows("SELECT DISTINCT team_id FROM events WHERE event_id = ANY($1)", events)
    act = act_of()
    for _ in range(2):
        revived = await redeliver_team(shop.database, team["team_id"], act, LATER)
        assert (revived.event_ids, revived.outcome) == (events, Outcome(changed=True, detail="2 event(s) are sent again."))
    assert await states(shop, events) == [DUE_AGAIN]
    assert {state[0] for state in await states(shop, others)} == {"dead"}
    await record_attempts(shop, events, "delivered")
    late = await redeliver_team(shop.database, team["team_id"], act_of("bob"), LATER)
    assert (late.event_ids, late.outcome.changed) == ([], False)
    assert await audit_of(shop, f"team/{team['team_id']}") == [
        ("resend_callbacks", "ann", None, True, "2 event(s) are sent again."),
        ("resend_callbacks", "bob", None, False, "Nothing was given up."),
    ]


# --- the legacy format ---


async def test_legacy_orders_have_completion_at_their_address_and_refunds_on_rabbitmq(shop: Shop) -> None:
    refunded_member = await leaver(shop, LEGACY)
    failing = await shop.team(await shop.campaign(), locked=1, paid=1, callback=LEGACY)
    await shop.conclude(failing[0], TeamDecision.CLOSE)

    rows = await shop.rows("SELECT type, kind, address, format FROM deliveries JOIN events USING (event_id)")

    assert sorted(map(tuple, rows)) == [
        ("order.refunded", "amqp", "topic.team_refund", "original"),
        ("team.completed", "http", "http://127.0.0.1:9/notify", "original"),
    ]
    [refunded] = await pending_deliveries(shop.database, [event_id("order.refunded", refunded_member.order_id)])
    named = (refunded.order_id, refunded.user_id, refunded.campaign_id)
    assert named == (refunded_member.order_id, refunded_member.request.user_id, refunded_member.campaign.campaign_id)


async def test_legacy_orders_with_rabbitmq_callback_have_cancellations(shop: Shop) -> None:
    queue = Address(kind="amqp", address="topic.team_success", format="original")
    [unpaid] = await shop.team(await shop.campaign(), locked=1, callback=queue)
    await shop.release(unpaid)

    [delivery] = await pending_deliveries(shop.database, [event_id("order.cancelled", unpaid.order_id)])

    assert (delivery.kind, delivery.address, delivery.format) == ("amqp", "topic.team_refund", "original")


# --- queries ---


async def test_the_feed_has_no_gaps_under_concurrent_writes(shop: Shop) -> None:
    campaign = await shop.campaign()
    writers = [asyncio.create_task(close(shop, await shop.team(campaign, locked=2))) for _ in range(12)]
    sequences: list[int] = []
    while not all(writer.done() for writer in writers) or len(sequences) < 12 * 3:
        page, again = await asyncio.gather(*(read_feed(shop.database, SOURCE, len(sequences), 7) for _ in range(2)))
        assert [event.sequence for event in again][: len(page)] == [event.sequence for event in page][: len(again)]
        sequences += [event.sequence for event in page]
    assert sequences == list(range(1, 12 * 3 + 1))
    assert await read_feed(shop.database, SOURCE, len(sequences), 7) == []
    assert await read_feed(shop.database, "s02", 0, 7) == []


async def close(shop: Shop, team: list[Member]) -> None:
    await shop.conclude(team[0], TeamDecision.CLOSE)


async def test_the_list_pages_through_every_delivery_once_and_filters(shop: Shop) -> None:
    first, second = await closed_team_events(shop), await closed_team_events(shop)
    await record_attempts(shop, first, "dead")
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


async def test_an_event_is_read_with_all_attempts_and_the_backlog_counts(shop: Shop) -> None:
    events = await closed_team_events(shop)
    await record_attempts(shop, events[-1:], "pending")
    await record_attempts(shop, events[-1:], "dead")
    found = await read_callback(shop.database, events[-1])
    assert found is not None
    assert {row.address for row in found.deliveries} == {SHOP_ADDRESS.address, OTHER_ADDRESS.address}
    assert [(each.http_status, each.error) for each in found.attempts] == [(500, "answered 500")] * 4
    assert found.data["team_id"]
    assert await read_callback(shop.database, "evt_unknown") is None
    backlog = await read_backlog(shop.database)
    assert (backlog.pending, backlog.dead) == (1, 2)
    assert backlog.oldest is not None
