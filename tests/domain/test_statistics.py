"""When a day is counted again."""

from datetime import UTC, date, datetime, timedelta

from domain.statistics import KEPT_DAYS, RECOUNT_OLD, RECOUNT_RECENT, RECOUNT_TODAY, due_days

NOW = datetime(2026, 3, 31, 12, tzinfo=UTC)
TODAY = NOW.date()


def test_at_first_every_day_is_due_the_latest_first() -> None:
    days = due_days({}, NOW)
    assert days[0] == TODAY
    assert days == sorted(days, reverse=True)
    assert len(days) == KEPT_DAYS


def test_a_day_is_counted_again_the_less_often_the_older_it_is() -> None:
    for age, interval in ((0, RECOUNT_TODAY), (1, RECOUNT_RECENT), (8, RECOUNT_RECENT), (9, RECOUNT_OLD), (30, RECOUNT_OLD)):
        day = TODAY - timedelta(days=age)
        counted = dict.fromkeys((TODAY - timedelta(days=each) for each in range(KEPT_DAYS)), NOW)
        assert due_days(counted, NOW) == []
        assert due_days(counted | {day: NOW - interval}, NOW) == [day]
        assert due_days(counted | {day: NOW - interval + timedelta(seconds=1)}, NOW) == []


def test_older_days_stay_as_they_are() -> None:
    counted = dict.fromkeys((TODAY - timedelta(days=each) for each in range(KEPT_DAYS)), NOW)
    assert due_days({**counted, date(2026, 1, 1): NOW - timedelta(days=60)}, NOW) == []
