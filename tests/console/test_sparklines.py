"""Small lines: within their box, whatever the values."""

from datetime import UTC, date, datetime, timedelta

import pytest

from console.sparklines import HEIGHT, WIDTH, mall_callbacks, points
from domain.schemas.statistics import DayStatistics

DAY = date(2026, 3, 1)


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ([], ""),
        ([None, None], ""),
        ([0.0], "0.0,23.0"),
        ([5.0, 10.0, 0.0], "0.0,12.0 60.0,1.0 120.0,23.0"),
        ([1.0, None, 1.0], "0.0,1.0 120.0,1.0"),
    ],
)
def test_a_line_goes_through_the_values_that_there_are(values: list[float | None], line: str) -> None:
    assert points(values) == line


def test_a_line_stays_in_its_box() -> None:
    for point in points([0.0, 0.3, 1.0], most=1.0).split():
        x, y = map(float, point.split(","))
        assert 0 <= x <= WIDTH
        assert 0 <= y <= HEIGHT


def day(number: int, source: str, attempts: int, delivered: int, dead: int, seconds: float | None) -> DayStatistics:
    counts = {name: 0 for name, field in DayStatistics.model_fields.items() if field.annotation is int}
    nothing = {name: None for name in DayStatistics.model_fields if name.endswith(("_median", "_p90"))}
    money = dict.fromkeys(("amount_paid", "discount", "amount_refunded"), "0.00")
    own = {
        "callback_attempts": attempts,
        "callbacks_delivered": delivered,
        "callbacks_dead": dead,
        "callback_seconds_p90": seconds,
    }
    at = {"day": DAY + timedelta(days=number), "source": source, "counted_at": datetime(2026, 3, 9, tzinfo=UTC)}
    return DayStatistics.model_validate(counts | nothing | money | own | at)


def test_a_mall_has_its_sums_and_its_lines() -> None:
    days = [day(0, "s01", 4, 1, 1, 2.0), day(1, "s01", 6, 6, 0, 4.0), day(2, "s01", 0, 0, 0, None), day(1, "s02", 1, 2, 0, 1.0)]
    first, second = mall_callbacks(days)
    assert (first.source, first.attempts, first.failed, first.dead, first.seconds) == ("s01", 10, 0.3, 1, 4.0)
    assert (first.failure_line, first.seconds_line) == ("0.0,6.5 60.0,23.0", "0.0,12.0 60.0,1.0")
    assert (second.failed, second.failure_line) == (0.0, "0.0,23.0")
