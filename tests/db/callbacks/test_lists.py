"""The list of callbacks by mall and by period: in the order of time, and no more read than a page needs."""

import re
from datetime import timedelta
from itertools import product

import pytest

from db.callbacks.deliveries import DeliveryStatus
from db.callbacks.queries import CallbackFilter, callbacks_page, list_callbacks
from db.core.pagination import Position
from db.settings.malls import MallRecord, save_mall
from tests.db.callbacks.ranges import SEED
from tests.db.shop import NOW, SHOP_ADDRESS, SOURCE, Shop

EVENTS, A_SECOND = 10_000, 7
SECONDS = 800
BEGIN, END = NOW + timedelta(seconds=200), NOW + timedelta(seconds=200 + SECONDS)
PAGE = 50
STATUSES: tuple[DeliveryStatus | None, ...] = (None, "pending")
LISTED = """
SELECT event_id FROM events WHERE source = coalesce($1, source) AND occurred_at >= $2 AND occurred_at < $3
 ORDER BY occurred_at DESC, event_no DESC
"""
READ = re.compile(r"on events e .*actual.* rows=([\d.]+) loops=(\d+)")


@pytest.fixture
async def busy_shop(shop: Shop) -> Shop:
    """Three malls with events at the same times."""
    for source in (SOURCE, "s02", "s03"):
        await save_mall(shop.database, MallRecord(source, "A mall", None, (), (), local=True))
        await shop.execute(SEED, source, source, NOW, EVENTS, "pending", SHOP_ADDRESS.address)
    await shop.execute("ANALYZE events")
    await shop.execute("ANALYZE deliveries")
    return shop


async def test_a_period_is_paged_through_in_the_order_of_time(busy_shop: Shop, subtests: pytest.Subtests) -> None:
    for source, status in product((None, "s02"), STATUSES):
        with subtests.test(source=source, status=status):
            filters = CallbackFilter(source=source, status=status, since=BEGIN, until=END)
            listed: list[str] = []
            after: Position | None = None
            while rows := await list_callbacks(busy_shop.database, filters, after, 8 * PAGE):
                listed += [callback.event_id for _, callback in rows]
                row_id, last = rows[-1]
                after = Position(last.occurred_at, row_id)
            expected = [row["event_id"] for row in await busy_shop.rows(LISTED, source, BEGIN, END)]
            assert listed == expected
            assert len(listed) == SECONDS * A_SECOND * (1 if source else 3)


async def test_no_more_is_read_than_a_page_needs(busy_shop: Shop, subtests: pytest.Subtests) -> None:
    for filters in (
        CallbackFilter(),
        CallbackFilter(source="s02"),
        CallbackFilter(until=END),
        CallbackFilter(since=BEGIN),
        CallbackFilter(source="s02", since=BEGIN, until=END),
        CallbackFilter(since=BEGIN, until=END),
    ):
        row_id, last = (await list_callbacks(busy_shop.database, filters, None, 8 * PAGE))[-1]
        for after in (None, Position(last.occurred_at, row_id)):
            with subtests.test(filters=filters, after=after):
                sql, values = callbacks_page(filters, after, PAGE)
                plan = "\n".join(row[0] for row in await busy_shop.rows(f"EXPLAIN ANALYZE {sql}", *values))
                read = sum(float(rows) * int(loops) for rows, loops in READ.findall(plan))
                # A few events have the time of the last one.
                assert 0 < read <= 3 * (PAGE + 2 * A_SECOND), plan
