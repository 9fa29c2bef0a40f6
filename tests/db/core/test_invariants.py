"""The invariant check: detects each kind of damage, with its number and subject, and lets what is under way be."""

import re
from datetime import datetime, timedelta
from decimal import Decimal

import pytest

from console.languages import Language, read_texts
from console.sentences import sentence_translator
from db.core.connection import Database, transaction
from db.core.invariants import Horizons, violations
from domain.lifecycle import MallAnswer, TeamDecision
from tests.db.shop import DEADLINE, NOW, SHOP_ADDRESS, Shop

MINUTE = timedelta(minutes=1)
AN_HOUR_LATER, HARDLY_AN_HOUR_LATER = NOW + 61 * MINUTE, NOW + 59 * MINUTE

WORDS = read_texts(Language.CHINESE)
told = sentence_translator(Language.CHINESE, lambda text: WORDS.get(text, text))
ENGLISH = re.compile("[a-z,] [a-z]")


@pytest.fixture
async def traded(database: Database) -> Shop:
    """A shop with teams, orders and refunds in every state; the invariants are not checked after the test."""
    shop = Shop(database)
    await shop.open()
    campaign = await shop.campaign(stock=50, min_count=1)
    for paid, locked, decision in ((3, 0, None), (2, 1, TeamDecision.DEADLINE), (1, 1, TeamDecision.CLOSE), (1, 1, None)):
        members = await shop.team(campaign, paid=paid, locked=locked, callback=SHOP_ADDRESS)
        if decision is not None:
            await shop.conclude(members[0], decision)
    asked, agreed, _ = await shop.team(campaign, paid=3, locked=0, callback=SHOP_ADDRESS)
    for member in (asked, agreed):
        await shop.refund(member)
    await shop.answer(agreed, MallAnswer.AGREED)
    reseated, unsettled = await shop.team(campaign, locked=2, callback=SHOP_ADDRESS)
    await shop.settle(unsettled, Decimal("1.00"))
    await shop.release(reseated)
    reseated, kept = await shop.team(campaign, locked=2, callback=SHOP_ADDRESS)
    await shop.settle(kept)
    await shop.release(reseated)
    assert (await shop.settle(reseated)).outcome == "reseated"
    assert await violations(database, HARDLY_AN_HOUR_LATER) == []
    await shop.execute("DELETE FROM team_wakeups")  # as their workflows do
    return shop


def undelivered(event_type: str) -> str:
    return f"DELETE FROM deliveries d USING events e WHERE e.event_id = d.event_id AND e.type = '{event_type}'"  # noqa: S608


def without(event_type: str) -> str:
    return f"{undelivered(event_type)}; DELETE FROM events WHERE type = '{event_type}'"  # noqa: S608


TWO_COMPLETIONS = """
INSERT INTO events (event_id, source, type, team_id, data, occurred_at)
SELECT 'evt_2', source, type, team_id, data, occurred_at FROM events WHERE type = 'team.completed' LIMIT 1;
INSERT INTO deliveries SELECT 'evt_2', kind, address, format, status, attempts, since, next_attempt_at FROM deliveries LIMIT 1
"""
COMPLETION_WITHOUT_MEMBERS = """UPDATE events SET data = data || '{"out_trade_nos": []}' WHERE type = 'team.completed'"""
EMPTY_TEAM = """
CREATE TEMP TABLE empty ON COMMIT DROP AS SELECT * FROM teams LIMIT 1;
UPDATE empty SET team_id = 'empty', status = 'forming', lock_count = 0, complete_count = 0, completed_at = NULL,
                 completion = NULL, failed_at = NULL, fail_reason = NULL;
INSERT INTO teams SELECT * FROM empty;
"""
PAYMENT_OF_LOCKED_ORDER = """
UPDATE orders SET paid_amount = 80, paid_at = locked_at, payment_outcome = 'settled' WHERE status = 'locked'
"""
BOOKED_TWICE = """
UPDATE teams SET unearned_booked_at = completed_at WHERE status = 'completed_with_refunds';
INSERT INTO unearned_discounts
SELECT team_id, 1, source, completed_at, 1, 2, 1, 1 FROM teams WHERE status = 'completed_with_refunds'
"""
LOST_QUESTION = """
UPDATE deliveries SET status = 'closed', finished_at = since
 WHERE event_id IN (SELECT question FROM refunds WHERE finished_at IS NULL AND answer IS NULL)
"""


@pytest.mark.parametrize(
    ("damage", "invariant", "subject"),
    [
        ("UPDATE teams SET lock_count = lock_count - 1 WHERE lock_count > complete_count", 2, "team "),
        ("UPDATE teams SET complete_count = complete_count - 1 WHERE status = 'forming'", 2, "team "),
        (without("team.completed"), 3, "team "),
        (TWO_COMPLETIONS, 3, "team "),
        (COMPLETION_WITHOUT_MEMBERS, 3, "team "),
        (without("team.failed"), 3, "team "),
        ("UPDATE teams SET fail_reason = 'abandoned' WHERE fail_reason = 'closed'", 3, "team "),
        (EMPTY_TEAM, 4, "team empty"),
        ("UPDATE user_quotas SET live = live + 1 WHERE live > 0", 5, "user "),
        ("DELETE FROM user_quotas WHERE live > 0", 5, "user "),
        (
            "INSERT INTO user_quotas SELECT campaign_id, source, 'nobody', 1 FROM campaign_stock, malls",
            5,
            "user quotas of campaign ",
        ),
        ("UPDATE orders SET take_limit = 0 WHERE live", 5, "user "),
        ("UPDATE campaign_stock SET live = live + 1", 5, "stock of campaign "),
        (PAYMENT_OF_LOCKED_ORDER, 6, "order "),
        (without("order.cancelled"), 8, "order "),
        (without("order.reseated"), 8, "order "),
        (without("order.refund_requested"), 8, "order "),
        (undelivered("team.completed"), 8, "event "),
        (undelivered("order.cancelled"), 8, "event "),
        ("UPDATE deliveries SET status = 'delivered', finished_at = since WHERE status = 'pending'", 8, "event "),
        ("UPDATE deliveries SET since = since - interval '5 days' WHERE status = 'pending'", 8, "event "),
        ("UPDATE refunds SET answer = 'agreed' WHERE answer IS NULL AND question IS NOT NULL", 8, "event "),
        ("UPDATE orders SET merchant_deduction = 19.99", 9, "order "),
        ("UPDATE teams SET merchant_share = 99", 9, "order "),
        (BOOKED_TWICE, 9, "team "),
    ],
)
async def test_damage_is_detected(traded: Shop, damage: str, invariant: int, subject: str) -> None:
    async with transaction(traded.database) as conn:
        await conn.execute(damage)

    found = await violations(traded.database, HARDLY_AN_HOUR_LATER)

    assert found
    assert {(violation.invariant, violation.subject.startswith(subject)) for violation in found} == {(invariant, True)}
    assert [text for text in (told(violation.sentence) for violation in found) if ENGLISH.search(text)] == []


async def test_a_refund_that_does_not_go_on_is_detected(traded: Shop) -> None:
    """Its workflow has not begun; or nobody asks the mall, or tells it, any more."""
    not_begun = await traded.value("SELECT 'order ' || order_id FROM refunds WHERE status = 'requested'")
    asked = await traded.value("SELECT 'order ' || order_id FROM refunds WHERE question IS NOT NULL AND answer IS NULL")
    await traded.execute(LOST_QUESTION)
    assert await violations(traded.database, HARDLY_AN_HOUR_LATER) == []

    found = await violations(traded.database, AN_HOUR_LATER)

    assert {(violation.invariant, violation.subject) for violation in found} == {(6, not_begun), (6, asked)}
    await traded.execute("UPDATE refunds SET status = 'attention' WHERE status = 'awaiting_mall'")
    assert [violation.subject for violation in await violations(traded.database, AN_HOUR_LATER)] == [not_begun]


async def test_a_paid_order_in_a_failed_team_needs_a_refund_in_time(traded: Shop) -> None:
    begun = "UPDATE refunds SET status = 'awaiting_mall' WHERE status = 'requested'"
    await traded.execute(begun)
    owed = await traded.value(
        "SELECT 'order ' || order_id FROM orders o JOIN teams t USING (team_id) WHERE t.status = 'failed' AND o.status = 'paid'"
    )
    assert await violations(traded.database, DEADLINE + 59 * MINUTE) == []
    [found] = await violations(traded.database, DEADLINE + 61 * MINUTE)
    assert (found.invariant, found.subject) == (6, owed)


async def test_what_a_team_did_not_earn_is_to_be_booked_in_time(traded: Shop) -> None:
    not_booked = await traded.value("SELECT 'team ' || team_id FROM teams WHERE status = 'completed_with_refunds'")
    window_over = NOW + timedelta(days=7)
    horizons = Horizons(under_way=timedelta(hours=1), retries=timedelta(days=30))

    async def unbooked(now: datetime) -> list[str]:
        return [found.subject for found in await violations(traded.database, now, horizons) if found.invariant == 9]

    assert await unbooked(window_over + timedelta(minutes=59)) == []
    assert await unbooked(window_over + timedelta(minutes=61)) == [not_booked]
