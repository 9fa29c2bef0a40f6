"""Campaigns and forming teams, written as rows: more of them than buyers could open within a benchmark."""

from datetime import UTC, datetime

import asyncpg

CAMPAIGNS = 1_000
TEAMS_PER_CAMPAIGN = 100
FIRST_CAMPAIGN = 1_000_000_000

NUMBERS = "generate_series($1::int, $2::int) n"
GOODS = f"INSERT INTO goods SELECT 'bench-' || n, 'Book ' || n, 100 FROM {NUMBERS}"
# Copies of the demo campaign for load, each with goods of its own.
CAMPAIGN_ROWS = f"""
INSERT INTO campaigns SELECT (jsonb_populate_record(c, jsonb_build_object('campaign_id', {FIRST_CAMPAIGN} + n))).*
  FROM campaigns c, {NUMBERS} WHERE c.campaign_id = 100124
"""
CAMPAIGN_GOODS = f"INSERT INTO campaign_goods SELECT {FIRST_CAMPAIGN} + n, 's01', 'c01', 'bench-' || n FROM {NUMBERS}"
# Three of four teams have one member, the fourth has two, of whom one has paid.
TEAMS = f"""
INSERT INTO teams (team_id, source, campaign_id, campaign_version, goods_id, original_price, discount, merchant_share,
                   target_count, lock_ttl, payment_grace, refund_window, status, lock_count, complete_count,
                   opened_at, deadline)
SELECT 'bench-' || n || '-' || t, 's01', {FIRST_CAMPAIGN} + n, 1, 'bench-' || n, 100, '{{"plan": "cut", "expr": "20"}}', 100,
       3, 86400, 30, 604800, 'forming', CASE WHEN t % 4 = 0 THEN 2 ELSE 1 END, (t % 4 = 0)::int, $3::timestamptz,
       $3::timestamptz + (36000 + n * 7 + t * 101) * interval '1 second'
  FROM {NUMBERS}, generate_series(1, $4::int) t
"""
OF_THESE_CAMPAIGNS = f"campaign_id BETWEEN {FIRST_CAMPAIGN} + $1::int AND {FIRST_CAMPAIGN} + $2::int"
ORDERS = f"""
INSERT INTO orders (order_id, source, out_trade_no, user_id, team_id, opened_team, campaign_id, goods_id, channel, status, live,
                    original_price, deduction, merchant_deduction, pay_price, take_limit, callback_format, locked_at,
                    lock_expires_at, paid_amount, paid_at, payment_reported_at, payment_outcome)
SELECT team_id || '-' || seat, source, team_id || '-' || seat, 'buyer-' || team_id || '-' || seat, team_id, seat = 1,
       campaign_id, goods_id, 'c01', CASE WHEN is_paid THEN 'paid' ELSE 'locked' END, true, 100, 20, 20, 80, 100, 'standard',
       opened_at, opened_at + interval '1 day', CASE WHEN is_paid THEN 80 END, CASE WHEN is_paid THEN opened_at END,
       CASE WHEN is_paid THEN opened_at END, CASE WHEN is_paid THEN 'settled' END
  FROM teams, generate_series(1, lock_count) seat, LATERAL (SELECT seat <= complete_count AS is_paid) s
 WHERE {OF_THESE_CAMPAIGNS}
"""
QUOTAS = f"INSERT INTO user_quotas SELECT campaign_id, source, user_id, 1 FROM orders WHERE {OF_THESE_CAMPAIGNS}"


async def seed(database: "asyncpg.Connection[asyncpg.Record]", first: int, last: int) -> None:
    """Inserts the campaigns with these numbers and their teams, as if buyers had opened them now; the invariants hold."""
    for statement in (GOODS, CAMPAIGN_ROWS, CAMPAIGN_GOODS):
        await database.execute(statement, first, last)
    await database.execute(TEAMS, first, last, datetime.now(UTC), TEAMS_PER_CAMPAIGN, timeout=120)
    for statement in (ORDERS, QUOTAS):
        await database.execute(statement, first, last, timeout=120)
    await database.execute("VACUUM (ANALYZE) teams, orders, user_quotas, campaigns, campaign_goods, goods", timeout=120)
