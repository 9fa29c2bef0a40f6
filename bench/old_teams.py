"""Completed teams with their orders, events and refunds, written as rows: more of them than could be played."""

from collections.abc import Callable

import asyncpg

AT_ONCE = 100_000
"""teams of one statement"""
APART = 17
"""seconds between two teams: 300,000 of them fill two months"""
BUYERS = "($3::bigint * 2 / 3 + 1)"
"""of so many teams"""

AT = f"now() - n * interval '{APART} seconds'"
TEAMS = "generate_series($1::bigint, $2::bigint) n"
SEED = (
    f"""
    INSERT INTO teams (team_id, source, campaign_id, campaign_version, goods_id, original_price, discount, merchant_share,
                       target_count, lock_ttl, payment_grace, refund_window, status, lock_count, complete_count,
                       opened_at, deadline, completed_at, completion)
    SELECT 'bench-' || n, 's01', 100123, 1, '9890001', 100, '{{"plan": "cut", "expr": "20"}}', 100, 4, 900, 30, 0, 'completed',
           3 + (n % 3 = 0)::int, 3 + (n % 3 = 0)::int, {AT}, {AT} + interval '1 day', {AT} + interval '10 minutes', 'operator'
      FROM {TEAMS} WHERE $3::bigint > 0
    """,
    f"""
    INSERT INTO orders (order_id, source, out_trade_no, user_id, team_id, opened_team, campaign_id, goods_id, channel, status,
                        live, original_price, deduction, merchant_deduction, pay_price, take_limit, callback_format, locked_at,
                        lock_expires_at, paid_amount, paid_at, payment_reported_at, payment_outcome)
    SELECT 'bench-' || n || '-' || seat, 's01', 'bench-' || n || '-' || seat, 'buyer-' || (n * 7 + seat) % {BUYERS},
           'bench-' || n, seat = 1, 100123, '9890001', 'c01', 'paid', true, 100, 20, 20, 80, 100, 'standard',
           {AT} + seat * interval '1 second', {AT} + interval '15 minutes', 80, {AT}, {AT} + seat * interval '3 seconds',
           'settled'
      FROM {TEAMS}, generate_series(1, 4) seat WHERE seat <= 3 + (n % 3 = 0)::int
    """,
    f"""
    INSERT INTO events (event_id, source, type, team_id, data, occurred_at, sequence)
    SELECT 'evt_bench' || n, 's01', 'team.completed', 'bench-' || n, '{{}}', {AT}, 10000000 - n
      FROM {TEAMS} WHERE $3::bigint > 0 ORDER BY n DESC
    """,
    f"""
    INSERT INTO deliveries (event_id, kind, address, format, status, attempts, since, next_attempt_at, finished_at)
    SELECT 'evt_bench' || n, 'http', 'http://127.0.0.1:9/callbacks', 'standard', 'delivered', 1, {AT}, {AT}, {AT}
      FROM {TEAMS} WHERE $3::bigint > 0
    """,
    f"""
    INSERT INTO delivery_attempts (event_id, kind, address, format, started_at, duration_ms, http_status)
    SELECT 'evt_bench' || n, 'http', 'http://127.0.0.1:9/callbacks', 'standard', {AT}, 12, 200
      FROM {TEAMS} WHERE $3::bigint > 0
    """,
    f"""
    INSERT INTO refunds (order_id, attempt, kind, status, reason, amount, requested_at, released_at, finished_at, checked_at)
    SELECT 'bench-' || n || '-1', 1, 'unpaid', 'done', 'for the benchmark', 0, {AT}, {AT}, {AT}, {AT}
      FROM {TEAMS} WHERE n % 3 = 0 AND $3::bigint > 0
    """,
)
AFTERWARDS = (
    """
    INSERT INTO user_quotas (campaign_id, source, user_id, live)
    SELECT campaign_id, source, user_id, count(*) FROM orders WHERE campaign_id = 100123 AND live GROUP BY 1, 2, 3
    ON CONFLICT (campaign_id, source, user_id) DO UPDATE SET live = excluded.live
    """,
    "VACUUM (ANALYZE)",
    # What reconciliation says of teams that have no workflow is not to be measured.
    "DELETE FROM reconciliation_findings",
)


async def seed_old_teams(
    database: "asyncpg.Connection[asyncpg.Record]",
    teams: int,
    on_progress: Callable[[int], object] = lambda _: None,
    *,
    after: int = 0,
) -> None:
    """Inserts teams of the demo campaign; the invariants hold. They have no workflows.

    Args:
        database: a connection.
        teams: the number of the last one, the oldest.
        on_progress: told the number of the last one so far.
        after: the number of the last one that is there.
    """
    for first in range(after + 1, teams + 1, AT_ONCE):
        last = min(first + AT_ONCE - 1, teams)
        for statement in SEED:
            await database.execute(statement, first, last, teams, timeout=600)
        on_progress(last)
    for statement in AFTERWARDS:
        await database.execute(statement, timeout=3600)
