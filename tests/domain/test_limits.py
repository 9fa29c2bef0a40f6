"""How much is too much."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.limits import allowance, may_hold_another, open_seats_allowed

COUNT = st.integers(0, 10_000)


@pytest.mark.parametrize(
    ("unpaid", "lapsed", "may"),
    [(0, 0, True), (19, 0, True), (20, 0, False), (14, 5, True), (15, 5, False), (0, 19, True), (1, 19, False), (0, 500, True)],
)
def test_seats_that_lapsed_unpaid_leave_fewer(unpaid: int, lapsed: int, *, may: bool) -> None:
    assert may_hold_another(unpaid, lapsed) is may


@given(COUNT)
def test_one_seat_is_always_left(lapsed: int) -> None:
    assert 1 <= open_seats_allowed(lapsed) <= 20


@given(st.integers(1, 10_000), COUNT, COUNT)
def test_shares_are_never_more_than_the_limit_by_more_than_one(limit: int, mine: int, others: int) -> None:
    """Of two processes that saw the same second: together the limit, or all that is asked where that is less."""
    here, there = allowance(limit, mine, others), allowance(limit, others, mine)
    if mine and others:
        if mine + others > limit:
            assert here + there <= limit + 2
        else:
            assert here >= mine
            assert there >= others
    assert here >= 1
    assert here <= limit


def test_whoever_is_alone_has_it_all() -> None:
    assert allowance(2000, 5000, 0) == 2000
