"""When a day's statistics are counted again: often while it lasts, and until nothing of it changes any more."""

from collections.abc import Mapping
from datetime import date, datetime, timedelta

KEPT_DAYS = 31
"""today and the 30 days before"""
RECOUNT_TODAY = timedelta(minutes=5)
RECOUNT_RECENT = timedelta(hours=1)
RECENT_DAYS = 8
"""days in which most teams are decided and most refund windows end"""
RECOUNT_OLD = timedelta(days=1)


def due_days(counted: Mapping[date, datetime], now: datetime) -> list[date]:
    """Returns the days whose statistics are to be counted at `now` (UTC), the latest first.

    Args:
        counted: when each day was counted last.
        now: the time of the count.
    """
    today = now.date()
    days = [today - timedelta(days=age) for age in range(KEPT_DAYS)]
    return [day for day in days if day not in counted or counted[day] + _interval(today - day) <= now]


def _interval(age: timedelta) -> timedelta:
    if not age:
        return RECOUNT_TODAY
    return RECOUNT_RECENT if age <= timedelta(days=RECENT_DAYS) else RECOUNT_OLD
