"""Statements find their rows by key, also when their one plan is made before there are statistics, as on a fresh machine."""

import asyncio
import re
from collections.abc import AsyncIterator

import asyncpg
import pytest

from db.callbacks import deliveries as callbacks
from db.callbacks import outbox as events
from db.campaigns import market
from db.core.migrate import upgrade
from db.orders import lock as seats
from db.orders import queries as views
from db.orders import settle as settlement
from db.refunds import steps as refunds
from db.teams import conclude as teams
from tests.db.conftest import Server

BY_KEY = {
    "an order by its number": views.ORDER,
    "an order with its team": views.ORDER_AND_TEAM,
    "before a lock": views.LOOKUP,
    "a seat that was held already": seats.HELD_SEAT,
    "join": seats.JOIN_TEAM,
    "open": seats.OPEN_TEAM,
    "settle": settlement.SETTLE_AT_ONCE,
    "complete": teams.COMPLETE,
    "fail": teams.FAIL,
    "extend": teams.EXTEND,
    "events of orders": events.ORDER_EVENTS,
    "event of a team": events.TEAM_EVENT,
    "what is to be delivered": callbacks.PENDING,
    "an attempt": callbacks.RECORD_ATTEMPT,
    "give callbacks up": refunds.GIVE_UP,
}
BIG = {"orders", "teams", "events", "deliveries", "refunds"}
SCAN = re.compile(r"Seq Scan on (\w+)|using (\w+) on (\w+)|Bitmap Index Scan on (\w+)")
# Those that hold only what is under way are not meant for finding one row.
OF_WHAT_IS_UNDER_WAY = {"teams_forming_idx", "teams_joinable_idx", "deliveries_pending_idx", "refunds_unfinished_idx"}


# As long as the platform's own, and of one mall: what a busy first minute leaves.
FILL = """
INSERT INTO teams (team_id, source, campaign_id, campaign_version, goods_id, original_price, discount, target_count, lock_ttl,
                   payment_grace, refund_window, status, lock_count, complete_count, opened_at, deadline)
SELECT 'abcdefghijklmnopqrst' || n, 's01', 1, 1, 'g', 100, '{}', 3, 900, 30, 3600, 'forming', 0, 0, now(), now()
  FROM generate_series(1, $1 / 3) n
"""
FILL_ORDERS = """
INSERT INTO orders (order_id, source, out_trade_no, user_id, team_id, opened_team, campaign_id, goods_id, channel, status, live,
                    original_price, deduction, pay_price, take_limit, callback_format, locked_at, lock_expires_at)
SELECT 'abcdefghijklmnopqrst' || n, 's01', 'trade-' || n, 'buyer-' || n, 'abcdefghijklmnopqrst' || ceil(n / 3.0), false, 1, 'g',
       'c01', 'locked', true, 100, 20, 80, 100, 'standard', now(), now()
  FROM generate_series(1, $1) n
"""


@pytest.fixture(scope="module", params=[0, 240, 6000], ids="{} orders".format)
async def never_analyzed(request: pytest.FixtureRequest, server: Server) -> AsyncIterator[asyncpg.Connection]:
    url = await server.create_database()
    await asyncio.to_thread(upgrade, url)
    conn = await asyncpg.connect(url, statement_cache_size=0)
    await conn.execute("ALTER TABLE teams SET (autovacuum_enabled = off); ALTER TABLE orders SET (autovacuum_enabled = off)")
    for fill in (FILL, FILL_ORDERS):
        await conn.execute(fill, request.param)
    await conn.execute("SET plan_cache_mode = force_generic_plan")
    yield conn
    await conn.close()
    await server.drop_database(url)


@pytest.mark.parametrize("name", BY_KEY)
async def test_a_row_is_found_by_its_key(never_analyzed: asyncpg.Connection, name: str) -> None:
    plan = await explained(never_analyzed, BY_KEY[name])
    for line, following in zip(plan, [*plan[1:], ""], strict=True):
        if scan := SCAN.search(line):
            whole, index, table, bitmap = scan.groups()
            assert whole not in BIG, line
            assert (index or bitmap) not in OF_WHAT_IS_UNDER_WAY, line
            if table in BIG or bitmap:
                assert "Index Cond:" in following, line
                assert re.search(r"_id\b.* = |out_trade_no", following), following


async def test_a_seat_is_found_in_its_team_and_orders_by_their_buyer(never_analyzed: asyncpg.Connection) -> None:
    place = "\n".join(await explained(never_analyzed, views.LOOKUP))
    assert re.search(r"using orders_(one_seat|team)_idx on orders s\b", place)
    for plan in (place, "\n".join(await explained(never_analyzed, market.TEAMS))):
        assert "Index Scan Backward using orders_user_idx on orders" in plan


async def explained(database: asyncpg.Connection, sql: str) -> list[str]:
    count = max(int(number) for number in re.findall(r"\$(\d+)", sql))
    await database.execute(f"PREPARE asked AS {sql}")
    plan = [row[0] for row in await database.fetch(f"EXPLAIN EXECUTE asked({', '.join(['NULL'] * count)})")]
    await database.execute("DEALLOCATE asked")
    return plan
