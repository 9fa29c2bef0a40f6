"""Statistics over HTTP: there as soon as a stack runs, for all malls and for one, also as CSV."""

from datetime import UTC, datetime, timedelta
from typing import Any

from domain.csv_text import BYTE_ORDER_MARK
from domain.schemas.statistics import DayStatistics
from tests.api.polling import until
from tests.api.shop import Shop


async def test_the_last_days_are_counted_at_once(shop: Shop) -> None:
    async def look() -> Any:  # noqa: ANN401
        return (await shop.ops.get("/v1/ops/statistics")).ok()["data"]

    # At midnight there are the days of two counts.
    days = await until(look, lambda found: len(found) >= 31)
    assert [day["day"] for day in days] == sorted((day["day"] for day in days), reverse=True)
    assert {day["source"] for day in days} == {None}
    assert set(days[0]) == set(DayStatistics.model_fields)
    since = (datetime.now(UTC) - timedelta(days=3)).date().isoformat()
    assert len((await shop.ops.get("/v1/ops/statistics", since=since)).ok()["data"]) in {3, 4}
    assert (await shop.ops.get("/v1/ops/statistics", source="nobody")).ok() == {"data": []}
    csv = (await shop.ops.get("/v1/ops/statistics/export", since=since)).ok().decode().splitlines()
    assert csv[0] == BYTE_ORDER_MARK + ",".join(DayStatistics.model_fields)
    assert csv[1].startswith(days[0]["day"])


async def test_a_period_that_is_none_is_refused(shop: Shop) -> None:
    (await shop.ops.get("/v1/ops/statistics", since="yesterday")).refused("invalid_request", 422)
    assert (await shop.ops.get("/v1/ops/statistics", since="2026-01-02", until="2026-01-01")).ok() == {"data": []}
    (await shop.mall.get("/v1/ops/statistics")).refused("forbidden", 403)
