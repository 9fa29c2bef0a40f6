"""Statements find their rows by key, whether their generic plan is made before the tables have statistics or with many rows."""

import asyncio
import re
from collections.abc import AsyncIterator

import asyncpg
import pytest

from db.callbacks import deliveries, outbox
from db.campaigns import market
from db.core.migrate import upgrade
from db.orders import lock, queries, release, settle
from db.refunds import steps as refunds
from db.teams import conclude as teams
from tests.db.conftest import Server

BY_KEY = {
    "read order": queries.ORDER,
    "read payable order": queries.PAYABLE,
    "read order and team": queries.ORDER_AND_TEAM,
    "look up order": queries.LOOKUP,
    "join": lock.JOIN_TEAM,
    "open": lock.OPEN_TEAM,
    "settle": settle.SETTLE_AT_ONCE,
    "complete": teams.COMPLETE,
    "fail": teams.FAIL,
    "extend": teams.EXTEND,
    "record order events": outbox.ORDER_EVENTS,
    "record team event": outbox.TEAM_EVENT,
    "read pending deliveries": deliveries.PENDING,
    "record attempt": deliveries.RECORD_ATTEMPT,
    "close deliveries": refunds.CLOSE,
}
BIG = {"orders", "teams", "events", "deliveries", "refunds"}
SCAN = re.compile(r"Seq Scan on (\w+)|using (\w+) on (\w+)|Bitmap Index Scan on (\w+)")
# Partial indexes over everything in progress: scanning one to find a single row is the failure.
IN_PROGRESS_INDEXES = {
    "orders_unpaid_idx",
    "teams_forming_idx",
    "teams_joinable_idx",
    "deliveries_pending_idx",
    "refunds_unfinished_idx",
}


# Ids as long as real ones, all of one mall: what a busy first minute leaves.
FILL = """
INSERT INTO teams (team_id, source, campaign_id, campaign_version, goods_id, original_price, discount, merchant_share,
                   target_count, lock_ttl, payment_grace, refund_window, status, lock_count, complete_count,
                   opened_at, deadline)
SELECT 'abcdefghijklmnopqrst' || n, 's01', 1, 1, 'g', 100, '{}', 100, 3, 900, 30, 3600, 'forming', 0, 0, now(), now()
  FROM generate_series(1, $1 / 3) n
"""
FILL_ORDERS = """
INSERT INTO orders (order_id, source, out_trade_no, user_id, team_id, opened_team, campaign_id, goods_id, channel, status, live,
                    original_price, deduction, merchant_deduction, pay_price, take_limit, callback_format, locked_at,
                    lock_expires_at)
SELECT 'abcdefghijklmnopqrst' || n, 's01', 'trade-' || n, 'buyer-' || n, 'abcdefghijklmnopqrst' || ceil(n / 3.0), false, 1, 'g',
       'c01', 'locked', true, 100, 20, 20, 80, 100, 'standard', now(), now()
  FROM generate_series(1, $1) n
"""


FILLED, TEN_MILLION = 6000, 10_000_000
# The planner takes so many rows for granted in each page of the file.
LARGE = "UPDATE pg_class SET reltuples = reltuples * $1 WHERE relname ~ '^(orders|teams)_?' AND relkind IN ('r', 'i')"


@pytest.fixture(scope="module", params=[0, 240, FILLED, TEN_MILLION], ids="{} orders".format)
async def filled(request: pytest.FixtureRequest, server: Server) -> AsyncIterator[asyncpg.Connection]:
    url = await server.create_database()
    await asyncio.to_thread(upgrade, url)
    conn = await asyncpg.connect(url, statement_cache_size=0)
    await conn.execute("ALTER TABLE teams SET (autovacuum_enabled = off); ALTER TABLE orders SET (autovacuum_enabled = off)")
    for fill in (FILL, FILL_ORDERS):
        await conn.execute(fill, min(request.param, FILLED))
    if request.param == TEN_MILLION:  # the only one with statistics
        await conn.execute("ANALYZE teams, orders")
        await conn.execute(LARGE, TEN_MILLION / FILLED)
        assert f"rows={TEN_MILLION} " in await conn.fetchval("EXPLAIN SELECT FROM orders")
    await conn.execute("SET plan_cache_mode = force_generic_plan")
    yield conn
    await conn.close()
    await server.drop_database(url)


@pytest.mark.parametrize("name", BY_KEY)
async def test_rows_are_found_by_key(filled: asyncpg.Connection, name: str) -> None:
    plan = await explain(filled, BY_KEY[name])
    for line, following in zip(plan, [*plan[1:], ""], strict=True):
        if scan := SCAN.search(line):
            whole, index, table, bitmap = scan.groups()
            assert whole not in BIG, line
            assert (index or bitmap) not in IN_PROGRESS_INDEXES, line
            if table in BIG or bitmap:
                assert "Index Cond:" in following, line
                assert re.search(r"_id\b.* = |out_trade_no", following), following


async def test_late_seats_are_found_among_the_unpaid_ones(filled: asyncpg.Connection) -> None:
    plan = "\n".join(await explain(filled, release.LOCK_LATE_TEAMS))
    assert re.search(r"on orders_unpaid_idx|using orders_unpaid_idx", plan)
    assert "Index Cond: (lock_expires_at <= $1)" in plan


async def test_the_order_lookup_uses_the_team_and_user_indexes(filled: asyncpg.Connection) -> None:
    lookup = "\n".join(await explain(filled, queries.LOOKUP))
    assert re.search(r"using orders_(one_seat|team)_idx on orders s\b", lookup)
    for plan in (lookup, "\n".join(await explain(filled, market.TEAMS))):
        assert "Index Scan Backward using orders_user_idx on orders" in plan


async def test_the_market_for_all_reads_teams_and_members_by_their_indexes(filled: asyncpg.Connection) -> None:
    plan = "\n".join(await explain(filled, market.TEAMS_FOR_ALL))
    assert re.search(r"using teams_joinable_idx on teams\b", plan)
    assert re.search(r"(using|on) orders_(team|one_seat)_idx", plan)
    assert "Seq Scan" not in plan


async def explain(database: asyncpg.Connection, sql: str) -> list[str]:
    count = max(int(number) for number in re.findall(r"\$(\d+)", sql))
    await database.execute(f"PREPARE statement AS {sql}")
    plan = [row[0] for row in await database.fetch(f"EXPLAIN EXECUTE statement({', '.join(['NULL'] * count)})")]
    await database.execute("DEALLOCATE statement")
    return plan
