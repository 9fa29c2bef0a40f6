"""The invariant check: detects each kind of damage, with its number and subject."""

import pytest

from db.core.connection import Database, transaction
from db.core.invariants import violations
from domain.lifecycle import TeamDecision
from tests.db.shop import SHOP_ADDRESS, Shop


@pytest.fixture
async def traded(database: Database) -> Shop:
    """A shop with teams in every state; the invariants are not checked after the test."""
    shop = Shop(database)
    await shop.open()
    campaign = await shop.campaign(stock=50, min_count=1)
    for paid, locked, decision in ((3, 0, None), (2, 1, TeamDecision.DEADLINE), (1, 1, TeamDecision.CLOSE), (1, 1, None)):
        members = await shop.team(campaign, paid=paid, locked=locked, callback=SHOP_ADDRESS)
        if decision is not None:
            await shop.conclude(members[0], decision)
    assert await violations(database) == []
    return shop


NO_COMPLETION = "DELETE FROM deliveries; DELETE FROM events WHERE type = 'team.completed'"
TWO_COMPLETIONS = """
INSERT INTO events (event_id, source, type, team_id, data, occurred_at)
SELECT 'evt_2', source, type, team_id, data, occurred_at FROM events WHERE type = 'team.completed' LIMIT 1
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


@pytest.mark.parametrize(
    ("damage", "invariant", "subject"),
    [
        ("UPDATE teams SET lock_count = lock_count - 1 WHERE lock_count > complete_count", 2, "team "),
        ("UPDATE teams SET complete_count = complete_count - 1 WHERE status = 'forming'", 2, "team "),
        (NO_COMPLETION, 3, "team "),
        (TWO_COMPLETIONS, 3, "team "),
        (COMPLETION_WITHOUT_MEMBERS, 3, "team "),
        (EMPTY_TEAM, 4, "team empty"),
        ("UPDATE user_quotas SET live = live + 1 WHERE live > 0", 5, "user "),
        ("DELETE FROM user_quotas WHERE live > 0", 5, "user "),
        ("UPDATE orders SET take_limit = 0 WHERE live", 5, "user "),
        ("UPDATE campaign_stock SET live = live + 1", 5, "stock of campaign "),
        (PAYMENT_OF_LOCKED_ORDER, 6, "order "),
        ("DELETE FROM deliveries; DELETE FROM events WHERE type = 'order.cancelled'", 8, "order "),
        ("UPDATE deliveries SET status = 'delivered', finished_at = since", 8, "event "),
    ],
)
async def test_damage_is_detected(traded: Shop, damage: str, invariant: int, subject: str) -> None:
    async with transaction(traded.database) as conn:
        await conn.execute(damage)

    found = await violations(traded.database)

    assert found
    assert {(violation.invariant, violation.subject.startswith(subject)) for violation in found} == {(invariant, True)}
