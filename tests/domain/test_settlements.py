"""Who bears a discount: parts that add up to it, and what a team did not earn."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.settlements import Borne, members_needed, split_deduction, total_borne, unearned_discount
from domain.types import CENT, MAX_AMOUNT

amounts = st.decimals(min_value=0, max_value=MAX_AMOUNT, places=2)
shares = st.integers(min_value=0, max_value=100)


@pytest.mark.parametrize(
    ("deduction", "share", "merchant", "platform"),
    [
        ("20.00", 100, "20.00", "0.00"),
        ("20.00", 0, "0.00", "20.00"),
        ("20.00", 60, "12.00", "8.00"),
        ("0.01", 50, "0.01", "0.00"),
        ("0.01", 49, "0.00", "0.01"),
        ("9.99", 33, "3.30", "6.69"),
    ],
)
def test_a_deduction_is_split_in_cents(deduction: str, share: int, merchant: str, platform: str) -> None:
    assert split_deduction(Decimal(deduction), share) == Borne(Decimal(merchant), Decimal(platform))


@given(amounts, shares)
def test_the_parts_add_up_and_are_no_cent_from_the_share(deduction: Decimal, share: int) -> None:
    borne = split_deduction(deduction, share)
    assert borne.merchant + borne.platform == deduction
    assert min(borne.merchant, borne.platform) >= 0
    assert abs(borne.merchant - deduction * share / 100) <= CENT / 2
    assert borne.merchant == borne.merchant.quantize(CENT)
    assert split_deduction(deduction, 100).platform == split_deduction(deduction, 0).merchant == 0


@given(amounts, shares, shares)
def test_a_higher_share_is_never_less(deduction: Decimal, one: int, other: int) -> None:
    lower, higher = (split_deduction(deduction, share).merchant for share in sorted((one, other)))
    assert lower <= higher


@given(st.lists(st.tuples(amounts, shares)))
def test_sums_of_parts_are_parts_of_sums(orders: list[tuple[Decimal, int]]) -> None:
    total = total_borne(split_deduction(deduction, share) for deduction, share in orders)
    assert total.merchant + total.platform == sum((deduction for deduction, _ in orders), Decimal())


@pytest.mark.parametrize(
    ("target_count", "min_count", "completed_with", "needed"),
    [(5, None, 5, 5), (5, 3, 5, 3), (5, 3, 4, 3), (5, None, 2, 2), (5, 3, 1, 1)],
)
def test_how_many_members_earn_the_price(target_count: int, min_count: int | None, completed_with: int, needed: int) -> None:
    assert members_needed(target_count, min_count, completed_with) == needed


@given(amounts, shares, st.integers(0, 5), st.integers(0, 5))
def test_those_who_stay_keep_their_price_and_it_is_earned_or_not_as_a_whole(
    deduction: Decimal, share: int, stayed: int, needed: int
) -> None:
    parts = [split_deduction(deduction, share)] * stayed
    assert unearned_discount(parts, needed) == (total_borne(parts) if stayed < needed else Borne())
