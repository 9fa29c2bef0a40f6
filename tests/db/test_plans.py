"""Statements find their rows by key, also when their one plan is made before there are statistics, as on a fresh machine."""

import asyncio
import re
from collections.abc import AsyncIterator

import asyncpg
import pytest

from db import callbacks, events, refunds, seats, settlement, teams, views
from db.migrate import upgrade
from tests.db.conftest import Server

BY_KEY = {
    "an order by its number": views.ORDER,
    "an order with its team": views.ORDER_AND_TEAM,
    "before a lock": views.PLACE,
    "a seat that was held already": seats.HELD_SEAT,
    "join": seats.JOIN_TEAM,
    "open": seats.OPEN_TEAM,
    "settle": settlement.SETTLE_AT_ONCE,
    "settle the last one": settlement.COMPLETE_AT_ONCE,
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


@pytest.fixture(scope="module")
async def never_analyzed(server: Server) -> AsyncIterator[asyncpg.Connection]:
    url = await server.create_database()
    await asyncio.to_thread(upgrade, url)
    connection = await asyncpg.connect(url, statement_cache_size=0)
    await connection.execute("SET plan_cache_mode = force_generic_plan")
    yield connection
    await connection.close()
    await server.drop_database(url)


@pytest.mark.parametrize("name", BY_KEY)
async def test_a_row_is_found_by_its_key(never_analyzed: asyncpg.Connection, name: str) -> None:
    sql = BY_KEY[name]
    count = max(int(number) for number in re.findall(r"\$(\d+)", sql))
    await never_analyzed.execute(f"PREPARE asked AS {sql}")
    plan = [row[0] for row in await never_analyzed.fetch(f"EXPLAIN EXECUTE asked({', '.join(['NULL'] * count)})")]
    await never_analyzed.execute("DEALLOCATE asked")

    for line, following in zip(plan, [*plan[1:], ""], strict=True):
        if scan := SCAN.search(line):
            whole, index, table, bitmap = scan.groups()
            assert whole not in BIG, line
            assert (index or bitmap) not in OF_WHAT_IS_UNDER_WAY, line
            if table in BIG or bitmap:
                assert "Index Cond:" in following, line
                assert re.search(r"_id\b.* = |out_trade_no", following), following
