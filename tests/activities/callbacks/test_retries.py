"""When a callback is attempted again, and when it is given up."""

from datetime import timedelta

import pytest

from activities.callbacks.retries import RetrySchedule
from tests.activities.callbacks.deliveries import NOW, delivery

RETRIES = RetrySchedule(timedelta(seconds=1), timedelta(hours=1), give_up_after=timedelta(days=3))
END = NOW + RETRIES.give_up_after
HOUR = timedelta(hours=1)


@pytest.mark.parametrize(("attempts", "seconds"), [(0, 1), (1, 2), (5, 32), (11, 2048), (12, 3600), (50, 3600), (5000, 3600)])
def test_the_delay_doubles_from_a_second_to_an_hour_within_20_percent(attempts: int, seconds: float) -> None:
    delays = [RETRIES.next_attempt(delivery("", attempts=attempts), NOW, None) for _ in range(50)]
    for following in delays:
        assert following is not None
        assert 0.8 * seconds <= (following - NOW).total_seconds() <= 1.2 * seconds
    assert len(set(delays)) > 1


def test_retry_after_only_lengthens_the_delay() -> None:
    assert RETRIES.next_attempt(delivery(""), NOW, 5 * HOUR) == NOW + 5 * HOUR
    following = RETRIES.next_attempt(delivery("", attempts=12), NOW, timedelta(seconds=1))
    assert following is not None
    assert following >= NOW + 0.8 * HOUR


def test_a_retry_after_beyond_the_schedule_is_cut_to_its_end() -> None:
    assert RETRIES.next_attempt(delivery(""), NOW, timedelta(days=30)) == END


def test_a_callback_is_given_up_three_days_after_it_became_due() -> None:
    assert RETRIES.next_attempt(delivery("", attempts=80), END - HOUR / 2, None) is None
    assert RETRIES.next_attempt(delivery("", attempts=80), END - 2 * HOUR, None) is not None
    assert RETRIES.next_attempt(delivery("", attempts=0, since=END), END, None) is not None
