"""The outbox: which events a change records, where they are delivered, and their sequences."""

import asyncio
import json
from collections.abc import Awaitable
from typing import Any

from db.callbacks.deliveries import assign_sequences, pending_deliveries
from db.core.connection import transaction
from db.settings.malls import MallRecord, save_mall
from domain.ids import event_id, team_id
from domain.lifecycle import TeamDecision
from domain.messages.callbacks import Address
from domain.schemas.campaigns import CampaignGoods
from tests.db.shop import CHANNEL, NOW, SOURCE, Member, Shop

ONE, TWO, THREE = (Address(kind="http", address=f"http://127.0.0.1/{path}") for path in ("one", "two", "three"))
QUEUE = Address(kind="amqp", address="topic.one")

DELIVERIES = """
SELECT e.type, e.order_id, d.kind, d.address, d.status, d.attempts, d.since, d.next_attempt_at
  FROM deliveries d JOIN events e USING (event_id)
"""
LATE_EVENT = """
INSERT INTO events (event_id, source, type, team_id, data, occurred_at) VALUES ('evt_late', $1, 'test', 'nobody', '{}', $2)
"""
NUMBERED = "SELECT event_no, event_id, sequence, type, data FROM events WHERE source = $1 ORDER BY sequence"


async def team_with_callbacks(shop: Shop, *callbacks: Address | None, paid: int) -> list[Member]:
    opener = shop.opener(await shop.campaign(target_count=9), callback=callbacks[0])
    members = [opener, *(shop.joiner(opener, callback=callback) for callback in callbacks[1:])]
    for member in members:
        await shop.lock(member)
    for member in members[:paid]:
        await shop.settle(member)
    return members


async def addresses(shop: Shop, event_type: str) -> list[tuple[str, str]]:
    rows = await shop.rows(DELIVERIES)
    return sorted((row["kind"], row["address"]) for row in rows if row["type"] == event_type)


async def content(shop: Shop, event_type: str) -> list[Any]:
    rows = await shop.rows("SELECT data FROM events WHERE type = $1 ORDER BY event_no", event_type)
    return [json.loads(row["data"]) for row in rows]


async def test_a_team_event_has_one_delivery_per_distinct_address(shop: Shop) -> None:
    members = await team_with_callbacks(shop, ONE, TWO, ONE, QUEUE, None, paid=2)

    await shop.conclude(members[0], TeamDecision.CLOSE)

    assert await addresses(shop, "team.failed") == [("amqp", "topic.one"), ("http", ONE.address), ("http", TWO.address)]
    assert await addresses(shop, "order.cancelled") == [("amqp", "topic.one"), ("http", ONE.address)]
    assert all(
        (row["status"], row["attempts"], row["since"]) == ("pending", 0, row["next_attempt_at"])
        for row in await shop.rows(DELIVERIES)
    )


async def test_a_team_event_is_delivered_only_for_the_orders_it_names(shop: Shop) -> None:
    members = await team_with_callbacks(shop, ONE, ONE, TWO, THREE, paid=2)
    await shop.settle(members[3])

    await shop.conclude(members[0], TeamDecision.COMPLETE)

    assert await addresses(shop, "team.completed") == [("http", ONE.address), ("http", THREE.address)]
    assert await addresses(shop, "order.cancelled") == [("http", TWO.address)]


async def test_events_of_orders_without_a_callback_have_no_delivery(shop: Shop) -> None:
    members = await team_with_callbacks(shop, None, None, paid=1)

    await shop.conclude(members[0], TeamDecision.CLOSE)

    assert await shop.event_types(members[0]) == ["order.cancelled", "team.failed"]
    assert await shop.rows(DELIVERIES) == []


async def test_data_of_each_event_type(shop: Shop) -> None:
    failed = await team_with_callbacks(shop, ONE, ONE, paid=1)
    await shop.conclude(failed[0], TeamDecision.CLOSE)
    completed = await shop.team(await shop.campaign(), paid=3, locked=0)
    released = await shop.team(await shop.campaign(), locked=1)
    await shop.release(released[0])

    assert await content(shop, "team.failed") == [
        {"team_id": failed[0].team_id, "reason": "closed", "out_trade_nos": [member.number for member in failed]}
    ]
    assert await content(shop, "order.cancelled") == [
        {"team_id": failed[0].team_id, "reason": "team_failed", "out_trade_no": failed[1].number},
        {"team_id": released[0].team_id, "reason": "lock_timeout", "out_trade_no": released[0].number},
    ]
    (data,) = await content(shop, "team.completed")
    assert sorted(data.pop("out_trade_nos")) == sorted(member.number for member in completed)
    assert data == {
        "team_id": completed[0].team_id,
        "campaign_id": completed[0].campaign.campaign_id,
        "completion": "target",
    }


async def test_sequences_have_no_gaps_under_concurrency(shop: Shop) -> None:
    campaign = await shop.campaign(target_count=3)
    assigned: dict[str, int] = {}

    async def assign() -> None:
        await assign_sequences(shop.database, SOURCE)
        rows = [row for row in await shop.rows(NUMBERED, SOURCE) if row["sequence"] is not None]
        assert [row["sequence"] for row in rows] == [*range(1, len(rows) + 1)]
        for row in rows:
            assert assigned.setdefault(row["event_id"], row["sequence"]) == row["sequence"]

    written = 0
    for _ in range(25):
        ending = [(await shop.team(campaign, paid=1, locked=2))[0] for _ in range(3)]
        releasing = [(await shop.team(campaign, paid=1, locked=1))[0] for _ in range(2)]
        last = (await shop.team(campaign, paid=2, locked=1))[2]
        writers: list[Awaitable[object]] = [shop.conclude(member, TeamDecision.CLOSE) for member in ending]
        writers += [shop.release(member) for member in releasing]
        writers += [shop.settle(last)]

        await shop.race(*writers, *(assign() for _ in range(4)))
        written += 3 * 3 + 2 + 1

    await assign()
    assert len(assigned) == written


async def test_concurrent_assignments_of_sequences_wait_for_each_other(shop: Shop) -> None:
    """An event inserted between two others, but committed after they are numbered, gets the number after theirs."""
    first, last = [(await shop.team(await shop.campaign(), locked=1))[0] for _ in range(2)]
    await shop.release(first)
    async with transaction(shop.database) as blocker:
        async with transaction(shop.database) as late:
            await late.execute(LATE_EVENT, SOURCE, NOW)
            await shop.release(last)
            await blocker.execute("SELECT FROM events WHERE team_id = $1 FOR UPDATE", last.team_id)
            assigning = [asyncio.create_task(assign_sequences(shop.database, SOURCE))]
            await shop.until_waiting(1)
        assigning.append(asyncio.create_task(assign_sequences(shop.database, SOURCE)))
        await shop.until_waiting(2)

    await asyncio.gather(*assigning)
    assert [row["event_no"] for row in await shop.rows(NUMBERED, SOURCE)] == [1, 3, 2]


async def test_events_that_name_an_order_are_numbered_in_the_order_of_their_facts(shop: Shop) -> None:
    campaign = await shop.campaign(target_count=3)
    for _ in range(25):
        timed_out = await shop.team(campaign, paid=1, locked=1)
        others = [(await shop.team(campaign, locked=3))[0] for _ in range(3)]

        async def release_and_close(members: list[Member]) -> None:
            await shop.release(members[0])
            await shop.conclude(members[0], TeamDecision.CLOSE)

        await shop.race(
            release_and_close(timed_out),
            *(shop.conclude(member, TeamDecision.CLOSE) for member in others),
            *(assign_sequences(shop.database, SOURCE) for _ in range(3)),
        )
    await assign_sequences(shop.database, SOURCE)

    cancelled: dict[str, int] = {}
    for row in await shop.rows(NUMBERED, SOURCE):
        data = json.loads(row["data"])
        if row["type"] == "order.cancelled":
            cancelled[data["out_trade_no"]] = row["sequence"]
        else:
            named = [cancelled[number] for number in data["out_trade_nos"] if number in cancelled]
            assert all(sequence < row["sequence"] for sequence in named)
    assert len(cancelled) == 25 * (1 + 3 * 3)


async def test_each_mall_has_its_own_sequence(shop: Shop) -> None:
    await save_mall(shop.database, MallRecord("s02", "Another mall", None, (), (), local=True))
    goods_id = await shop.goods()
    sold = [CampaignGoods(source=source, channel=CHANNEL, goods_id=goods_id) for source in (SOURCE, "s02")]
    campaign = await shop.campaign(goods=sold, take_limit=100)
    ids = []
    for source in (SOURCE, "s02") * 5:
        opener = shop.opener(campaign, user="u", callback=ONE)
        opener = opener.with_request(source=source, team_id=team_id(source, opener.number))
        await shop.lock(opener)
        await shop.release(opener)
        ids.append(event_id("order.cancelled", opener.order_id))

    pending_lists = await shop.race(*(pending_deliveries(shop.database, ids) for _ in range(3)))

    for source in (SOURCE, "s02"):
        assert [row["sequence"] for row in await shop.rows(NUMBERED, source)] == [1, 2, 3, 4, 5]
    assert [sorted(delivery.sequence for delivery in pending) for pending in pending_lists] == [sorted([1, 2, 3, 4, 5] * 2)] * 3


async def test_an_event_occurs_at_the_time_of_its_fact(shop: Shop) -> None:
    (opener,) = await shop.team(await shop.campaign(), locked=1)

    await shop.conclude(opener, TeamDecision.CLOSE, NOW)

    assert {row["occurred_at"] for row in await shop.rows("SELECT occurred_at FROM events")} == {NOW}
