"""Reconciliation finds overdue teams and events, and nothing that is not overdue."""

from datetime import datetime, timedelta

from db.callbacks.deliveries import Attempt, pending_deliveries, record_attempt
from db.reconciliation import FIRST_ATTEMPT_WITHIN, find_overdue
from domain.lifecycle import TeamDecision
from domain.messages.reconciliation import Overdue
from tests.db.shop import DEADLINE, GRACE, NOW, OVERDUE, SHOP_ADDRESS, Shop

LATE = timedelta(minutes=2)
INSTANT = timedelta(microseconds=1)


async def found(shop: Shop, now: datetime) -> Overdue:
    return await find_overdue(shop.database, now, LATE)


async def test_a_team_with_an_overdue_seat_is_found(shop: Shop) -> None:
    (opener,) = await shop.team(await shop.campaign())

    assert (await found(shop, OVERDUE + LATE)).team_ids == []
    assert (await found(shop, OVERDUE + LATE + INSTANT)).team_ids == [opener.team_id]


async def test_a_forming_team_past_its_deadline_is_found(shop: Shop) -> None:
    opener, _ = await shop.team(await shop.campaign(), paid=2, locked=0)
    latest = DEADLINE + timedelta(seconds=GRACE)

    assert (await found(shop, latest + LATE)).team_ids == []
    assert (await found(shop, latest + LATE + INSTANT)).team_ids == [opener.team_id]
    await shop.conclude(opener, TeamDecision.DEADLINE, latest)
    assert (await found(shop, latest + 10 * LATE)).team_ids == []


async def test_an_event_is_found_while_a_delivery_is_overdue(shop: Shop) -> None:
    (opener,) = await shop.team(await shop.campaign(), paid=1, locked=0, callback=SHOP_ADDRESS)
    ended = await shop.conclude(opener, TeamDecision.CLOSE, NOW)

    # Without any attempt: perhaps no workflow knows of it.
    assert (await found(shop, NOW + FIRST_ATTEMPT_WITHIN)).event_ids == []
    assert (await found(shop, NOW + FIRST_ATTEMPT_WITHIN + INSTANT)).event_ids == ended.event_ids
    (delivery,) = await pending_deliveries(shop.database, ended.event_ids)
    await record_attempt(shop.database, delivery, Attempt(NOW, 1, 500, "answered 500", "pending", NOW))
    assert (await found(shop, NOW + LATE)).event_ids == []
    assert (await found(shop, NOW + LATE + INSTANT)).event_ids == ended.event_ids
    for status in ("pending", "dead"):
        attempt = Attempt(NOW, 1, 500, "answered 500", status, NOW + timedelta(hours=1))
        await record_attempt(shop.database, delivery, attempt)
        assert (await found(shop, NOW + LATE + INSTANT)).event_ids == []
    assert await found(shop, NOW + timedelta(days=1)) == Overdue()
