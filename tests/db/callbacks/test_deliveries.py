"""Deliveries: reading pending ones, recording attempts, and that a finished one stays finished."""

from datetime import timedelta
from typing import Literal

import pytest

from db.callbacks.deliveries import (
    RECORD_ATTEMPT_ASYNC,
    Attempt,
    DeliveryProgress,
    delivery_progress,
    pending_deliveries,
    record_attempt,
)
from db.core.connection import connection, transaction
from domain.ids import event_id
from domain.lifecycle import TeamDecision
from domain.messages.callbacks import Address
from tests.db.shop import DEADLINE, NOW, SHOP_ADDRESS, SOURCE, Shop

OTHER_ADDRESS = Address(kind="amqp", address="topic.orders")
STORED = "SELECT status, attempts, next_attempt_at, finished_at FROM deliveries WHERE event_id = $1 AND address = $2"


def attempt(status: Literal["delivered", "pending", "dead"], number: int = 0) -> Attempt:
    started_at = NOW + timedelta(seconds=number)
    return Attempt(
        started_at=started_at,
        duration_ms=250,
        http_status=200 if status == "delivered" else 500,
        error=None if status == "delivered" else "answered 500",
        status=status,
        next_attempt_at=started_at + timedelta(minutes=1),
    )


async def close_team(shop: Shop) -> list[str]:
    """Closes a team; returns its event ids: order.cancelled with one delivery, team.failed with two."""
    opener = shop.opener(await shop.campaign(), callback=SHOP_ADDRESS)
    paid = shop.joiner(opener, callback=OTHER_ADDRESS)
    await shop.lock(opener)
    await shop.lock(paid)
    await shop.settle(paid)
    concluded = await shop.conclude(opener, TeamDecision.CLOSE)
    return concluded.event_ids


async def test_a_pending_delivery_has_what_a_sender_needs(shop: Shop) -> None:
    ids = await close_team(shop)

    pending = await pending_deliveries(shop.database, ids)

    assert [(delivery.type, delivery.sequence, delivery.kind) for delivery in pending] == [
        ("order.cancelled", 1, "http"),
        ("team.failed", 2, "http"),
        ("team.failed", 2, "amqp"),
    ]
    first = pending[0]
    assert first.event_id in ids
    assert first.secrets == ("whsec_dGVzdHM=",)
    assert (first.source, first.address, first.format) == (SOURCE, SHOP_ADDRESS.address, "standard")
    assert first.since == first.next_attempt_at == first.occurred_at == DEADLINE
    assert first.data.startswith("{")
    assert (first.hosts, first.local) == (("127.0.0.1",), True)
    await shop.execute("UPDATE malls SET callback_hosts = '{elsewhere.example}', local = false")
    now = (await pending_deliveries(shop.database, ids))[0]
    assert (now.hosts, now.local) == (("elsewhere.example",), False)
    assert await pending_deliveries(shop.database, ["evt_unknown"]) == []


async def test_a_failed_attempt_leaves_the_delivery_pending_and_due_later(shop: Shop) -> None:
    ids = await close_team(shop)
    (delivery, *_) = await pending_deliveries(shop.database, ids)

    for number in range(3):
        await record_attempt(shop.database, delivery, attempt("pending", number))

    (after, *_) = await pending_deliveries(shop.database, ids)
    assert (after.attempts, after.since) == (3, delivery.since)
    assert after.next_attempt_at == NOW + timedelta(seconds=2, minutes=1)
    assert await delivery_progress(shop.database, ids) == DeliveryProgress(
        pending=3, delivered=0, dead=0, due=after.next_attempt_at
    )


async def test_finished_deliveries_are_counted_and_not_pending(shop: Shop) -> None:
    ids = await close_team(shop)
    one, two, three = await pending_deliveries(shop.database, ids)

    await record_attempt(shop.database, one, attempt("delivered"))
    await record_attempt(shop.database, two, attempt("dead"))

    assert await pending_deliveries(shop.database, ids) == [three]
    assert await delivery_progress(shop.database, ids) == DeliveryProgress(pending=1, delivered=1, dead=1, due=DEADLINE)
    await record_attempt(shop.database, three, attempt("delivered"))
    assert await delivery_progress(shop.database, ids) == DeliveryProgress(pending=0, delivered=2, dead=1, due=None)
    (row,) = await shop.rows(STORED, one.event_id, one.address)
    assert (row["status"], row["attempts"]) == ("delivered", 1)
    assert row["finished_at"] == NOW + timedelta(milliseconds=250)


@pytest.mark.parametrize("final", ["delivered", "dead"])
@pytest.mark.parametrize("late", ["delivered", "pending", "dead"])
async def test_a_late_attempt_does_not_change_a_finished_delivery(
    shop: Shop, final: Literal["delivered", "dead"], late: Literal["delivered", "pending", "dead"]
) -> None:
    (delivery, *_) = await pending_deliveries(shop.database, await close_team(shop))
    await record_attempt(shop.database, delivery, attempt(final))
    before = await shop.rows(STORED, delivery.event_id, delivery.address)

    await record_attempt(shop.database, delivery, attempt(late, 60))

    assert await shop.rows(STORED, delivery.event_id, delivery.address) == before
    assert await shop.value("SELECT count(*) FROM delivery_attempts") == 2


async def test_of_concurrent_attempts_the_first_final_status_holds(shop: Shop) -> None:
    finals = set()
    for _ in range(30):
        (delivery, *_) = await pending_deliveries(shop.database, await close_team(shop))

        await shop.race(
            record_attempt(shop.database, delivery, attempt("delivered")),
            record_attempt(shop.database, delivery, attempt("dead")),
            record_attempt(shop.database, delivery, attempt("pending")),
        )

        (row,) = await shop.rows(STORED, delivery.event_id, delivery.address)
        assert row["status"] in {"delivered", "dead"}
        assert row["attempts"] in {1, 2}
        assert row["finished_at"] is not None
        finals.add(row["status"])
    assert finals == {"delivered", "dead"}


async def test_asynchronous_commit_is_limited_to_the_attempts_transaction(shop: Shop) -> None:
    (delivery, *_) = await pending_deliveries(shop.database, await close_team(shop))
    async with transaction(shop.database) as conn:
        values = ("http", delivery.address, "standard", NOW, 1, 200, None, "delivered", NOW, delivery.since, False)
        await conn.execute(RECORD_ATTEMPT_ASYNC, delivery.event_id, *values)
        assert await conn.fetchval("SHOW synchronous_commit") == "off"
    async with connection(shop.database) as conn:
        await conn.execute(RECORD_ATTEMPT_ASYNC, delivery.event_id, *values)
        assert await conn.fetchval("SHOW synchronous_commit") == "on"


NOTE_COMMIT_MODE = """
CREATE TABLE commit_modes (type text, mode text);
CREATE FUNCTION note_commit_mode() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO commit_modes SELECT type, current_setting('synchronous_commit') FROM events WHERE event_id = NEW.event_id;
  RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER note_commit_mode AFTER UPDATE ON deliveries
  DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION note_commit_mode()
"""
FORGET_COMMIT_MODE = "DROP TRIGGER note_commit_mode ON deliveries; DROP FUNCTION note_commit_mode; DROP TABLE commit_modes"


async def test_that_a_mall_was_told_of_a_refund_is_on_disk_before_the_refund_is_done(shop: Shop) -> None:
    """Else a crash of the database between the two leaves a refund that is done, and an event that is pending."""
    opener = shop.opener(await shop.campaign(), callback=SHOP_ADDRESS)
    await shop.lock(opener)
    await shop.settle(opener)
    await shop.refund(opener)
    refunded = event_id("order.refunded", opener.order_id)
    async with connection(shop.database) as conn:
        await conn.execute(NOTE_COMMIT_MODE)
        try:
            for delivery in await pending_deliveries(shop.database, [*await close_team(shop), refunded]):
                await record_attempt(shop.database, delivery, attempt("delivered"))
            modes = {row["type"]: row["mode"] for row in await conn.fetch("SELECT * FROM commit_modes")}
        finally:
            await conn.execute(FORGET_COMMIT_MODE)
    assert modes == {"order.cancelled": "off", "team.failed": "off", "order.refunded": "on"}


async def test_deliveries_to_different_addresses_are_independent(shop: Shop) -> None:
    ids = await close_team(shop)
    _, team_to_one, team_to_other = await pending_deliveries(shop.database, ids)
    assert team_to_one.event_id == team_to_other.event_id

    await record_attempt(shop.database, team_to_one, attempt("dead"))

    assert team_to_other in await pending_deliveries(shop.database, ids)


async def test_a_repeated_conclusion_records_no_second_event(shop: Shop) -> None:
    members = await shop.team(await shop.campaign(), locked=2, callback=SHOP_ADDRESS)
    first = await shop.conclude(members[0], TeamDecision.CLOSE)
    for _ in range(2):
        again = await shop.conclude(members[0], TeamDecision.CLOSE)
        assert (again.repeated, again.event_ids) == (True, [])
    deliveries = await pending_deliveries(shop.database, first.event_ids)
    assert sorted(delivery.event_id for delivery in deliveries) == sorted(first.event_ids)
    assert len(first.event_ids) == await shop.value("SELECT count(*) FROM events") == 3
    assert event_id("team.failed", members[0].team_id) in first.event_ids
