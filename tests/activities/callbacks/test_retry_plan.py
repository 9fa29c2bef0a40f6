"""When a callback is tried again, and when it is given up."""

from datetime import timedelta

import pytest

from activities.callbacks.deliver import RetryPlan
from tests.activities.callbacks.deliveries import NOW, delivery

PLAN = RetryPlan(first=timedelta(seconds=1), most=timedelta(hours=1), give_up=timedelta(days=3))
END = NOW + PLAN.give_up
HOUR = timedelta(hours=1)


@pytest.mark.parametrize(("attempts", "seconds"), [(0, 1), (1, 2), (5, 32), (11, 2048), (12, 3600), (50, 3600), (5000, 3600)])
def test_the_delay_doubles_from_a_second_to_an_hour_give_or_take_a_fifth(attempts: int, seconds: float) -> None:
    delays = [PLAN.next_attempt(delivery("", attempts=attempts), NOW, None) for _ in range(50)]
    for following in delays:
        assert following is not None
        assert 0.8 * seconds <= (following - NOW).total_seconds() <= 1.2 * seconds
    assert len(set(delays)) > 1


def test_retry_after_may_be_longer_and_never_makes_it_sooner() -> None:
    assert PLAN.next_attempt(delivery(""), NOW, 5 * HOUR) == NOW + 5 * HOUR
    following = PLAN.next_attempt(delivery("", attempts=12), NOW, timedelta(seconds=1))
    assert following is not None
    assert following >= NOW + 0.8 * HOUR


def test_who_asks_for_more_than_three_days_gets_a_last_try_at_their_end() -> None:
    assert PLAN.next_attempt(delivery(""), NOW, timedelta(days=30)) == END


def test_after_three_days_it_is_given_up_and_after_a_resend_they_begin_anew() -> None:
    assert PLAN.next_attempt(delivery("", attempts=80), END - HOUR / 2, None) is None
    assert PLAN.next_attempt(delivery("", attempts=80), END - 2 * HOUR, None) is not None
    assert PLAN.next_attempt(delivery("", attempts=0, since=END), END, None) is not None
