"""Limits against abuse."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.limits import may_lock_another, rate_share, unpaid_seats_allowed

COUNT = st.integers(0, 10_000)


@pytest.mark.parametrize(
    ("unpaid", "lapsed", "may"),
    [(0, 0, True), (19, 0, True), (20, 0, False), (14, 5, True), (15, 5, False), (0, 19, True), (1, 19, False), (0, 500, True)],
)
def test_each_lapse_takes_one_unpaid_seat_away(unpaid: int, lapsed: int, *, may: bool) -> None:
    assert may_lock_another(unpaid, lapsed) is may


@given(COUNT)
def test_one_unpaid_seat_is_always_allowed(lapsed: int) -> None:
    assert 1 <= unpaid_seats_allowed(lapsed) <= 20


@given(st.integers(1, 10_000), COUNT, COUNT)
def test_the_shares_of_two_processes_fill_the_limit_and_exceed_it_by_rounding_only(limit: int, own: int, others: int) -> None:
    """Together they admit the limit, or every request where there are fewer."""
    here, there = rate_share(limit, own, others), rate_share(limit, others, own)
    if own and others:
        if own + others > limit:
            assert here + there <= limit + 2
        else:
            assert here >= own
            assert there >= others
    assert here >= 1
    assert here <= limit


def test_a_single_process_has_the_whole_limit() -> None:
    assert rate_share(2000, 5000, 0) == 2000
