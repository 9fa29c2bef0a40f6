"""The rules of seats at their borders."""

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any

import pytest

from domain.errors import ErrorCode, Refusal
from domain.lifecycle import TeamStatus
from domain.seats import (
    LAPSES_PER_SECOND,
    LONGEST_DELAY,
    OrderContent,
    can_take_seat,
    delayed_lapse,
    is_joinable,
    is_overdue,
    keep_until,
    lock_expiry,
    require_same_content,
    team_after_release,
    team_deadline,
)

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
INSTANT = timedelta(microseconds=1)
HOUR = timedelta(hours=1)


@pytest.mark.parametrize("status", TeamStatus)
@pytest.mark.parametrize(("deadline", "is_before"), [(NOW - INSTANT, False), (NOW, False), (NOW + INSTANT, True)])
def test_only_a_forming_team_before_its_deadline_is_joinable(status: TeamStatus, deadline: datetime, is_before: bool) -> None:
    forming = status is TeamStatus.FORMING
    assert is_joinable(status, deadline, NOW) is (forming and is_before)
    assert can_take_seat(status, deadline, NOW, lock_count=2, target_count=3) is (forming and is_before)
    assert not can_take_seat(status, deadline, NOW, lock_count=3, target_count=3)


def test_a_team_lasts_its_time_but_not_longer_than_its_campaign() -> None:
    assert team_deadline(NOW, 3600, NOW + 2 * HOUR) == NOW + HOUR
    assert team_deadline(NOW, 3600, NOW + HOUR / 2) == NOW + HOUR / 2


def test_a_payment_window_lasts_its_time_but_not_longer_than_the_team_forms() -> None:
    assert lock_expiry(NOW, 900, NOW + HOUR) == NOW + timedelta(seconds=900)
    assert lock_expiry(NOW, 900, NOW + INSTANT) == NOW + INSTANT


@pytest.mark.parametrize("grace", [0, 30])
def test_an_unpaid_seat_is_kept_for_its_window_and_the_grace(grace: int) -> None:
    end = NOW + timedelta(seconds=grace)

    assert keep_until(NOW, grace) == end
    assert not is_overdue(NOW, grace, end - INSTANT)
    assert is_overdue(NOW, grace, end)


LATER = NOW + HOUR


def lapses_of(teams: int, seconds: float) -> tuple[list[datetime], list[datetime]]:
    """Until when the seats of a crowd are kept, which came at one rate within so many seconds, and when they lapse."""
    taken = [seconds * number / teams for number in range(teams)]
    ends = [NOW + timedelta(seconds=each) for each in taken]
    before = [[taken[number] - each for each in reversed(taken[:number])] for number in range(teams)]
    return ends, [delayed_lapse(end, ago, LATER) for end, ago in zip(ends, before, strict=True)]


@pytest.mark.parametrize(("teams", "seconds"), [(150, 2), (150, 0), (400, 8), (1000, 20), (1500, 60)])
def test_the_seats_of_a_crowd_lapse_one_after_the_other(teams: int, seconds: float) -> None:
    ends, lapses = lapses_of(teams, seconds)
    assert all(lapse >= end for lapse, end in zip(lapses, ends, strict=True))
    assert max(lapses) <= NOW + timedelta(seconds=teams / LAPSES_PER_SECOND)
    in_a_second = Counter(int((lapse - NOW).total_seconds()) for lapse in lapses)
    assert max(in_a_second.values()) <= LAPSES_PER_SECOND + 1


def test_few_seats_lapse_when_their_time_is_over() -> None:
    ends, lapses = lapses_of(LAPSES_PER_SECOND * 10, 10)
    assert lapses == pytest.approx(ends, abs=INSTANT)


def test_no_seat_lapses_much_later_or_after_its_team_is_decided() -> None:
    crowd = [0.0] * 100_000
    assert delayed_lapse(NOW, crowd, LATER) == NOW + LONGEST_DELAY
    assert delayed_lapse(NOW, crowd, NOW + INSTANT) == NOW + INSTANT
    assert delayed_lapse(NOW, crowd, NOW - HOUR) == NOW


@pytest.mark.parametrize(("status", "was_paid"), [*product(TeamStatus, (False, True))])
def test_a_team_without_members_has_failed(status: TeamStatus, was_paid: bool) -> None:
    assert team_after_release(status, seats_left=0, was_paid=was_paid) is TeamStatus.FAILED


@pytest.mark.parametrize(("status", "was_paid"), [*product(TeamStatus, (False, True))])
def test_only_a_completed_team_changes_when_a_paid_member_leaves_others_behind(status: TeamStatus, was_paid: bool) -> None:
    changes = status is TeamStatus.COMPLETED and was_paid
    expected = TeamStatus.COMPLETED_WITH_REFUNDS if changes else status
    assert team_after_release(status, seats_left=1, was_paid=was_paid) is expected


CONTENT = OrderContent(user_id="u1", goods_id="g1", channel="c1", opens_team=False, team_id="t1")


def test_a_repeat_has_the_same_content() -> None:
    require_same_content("n1", CONTENT, replace(CONTENT))


@pytest.mark.parametrize(
    "change", [{"user_id": "u2"}, {"goods_id": "g2"}, {"channel": "c2"}, {"team_id": "t2"}, {"opens_team": True}]
)
def test_other_content_under_a_used_out_trade_no_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(Refusal) as refused:
        require_same_content("n1", replace(CONTENT, **change), CONTENT)
    assert refused.value.code is ErrorCode.OUT_TRADE_NO_REUSED
