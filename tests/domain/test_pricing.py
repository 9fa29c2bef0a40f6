"""The four discount plans, compared with an oracle that computes in fractions."""

from decimal import Decimal
from fractions import Fraction
from math import floor

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from domain.pricing import Discount, DiscountPlan, pay_price
from domain.types import CENT, MAX_AMOUNT

prices = st.decimals(min_value=CENT, max_value=MAX_AMOUNT, places=2)
amounts = st.decimals(min_value=0, max_value=MAX_AMOUNT, places=3).filter(lambda amount: amount <= MAX_AMOUNT)
cuts = amounts.map(lambda cut: Discount(plan=DiscountPlan.CUT, expr=f"{cut:f}"))
full_cuts = st.tuples(amounts, amounts).map(
    lambda pair: Discount(plan=DiscountPlan.FULL_CUT, expr=f"{max(pair):f},{min(pair):f}")
)
rates = st.decimals(min_value="0.0001", max_value=1, places=4).map(
    lambda rate: Discount(plan=DiscountPlan.RATE, expr=f"{rate:f}")
)
fixed = amounts.filter(lambda amount: amount >= CENT).map(lambda e: Discount(plan=DiscountPlan.FIXED, expr=f"{e:f}"))
discounts = st.one_of(cuts, full_cuts, rates, fixed)


def half_up(exact: Fraction) -> Decimal:
    return Decimal(floor(exact * 100 + Fraction(1, 2))) / 100


def exact(price: Decimal, discount: Discount) -> Fraction:
    p, e = Fraction(price), [Fraction(number) for number in discount.expr.split(",")]
    match discount.plan:
        case DiscountPlan.CUT:
            return p - e[0]
        case DiscountPlan.FULL_CUT:
            return p - e[1] if p >= e[0] else p
        case DiscountPlan.RATE:
            return p * e[0]
        case DiscountPlan.FIXED:
            return e[0]


@given(prices, discounts)
def test_the_price_is_the_exact_result_rounded_half_up_within_its_bounds(price: Decimal, discount: Discount) -> None:
    paid = pay_price(price, discount)

    assert paid == min(price, max(CENT, half_up(exact(price, discount))))
    assert CENT <= paid <= price
    assert paid == paid.quantize(CENT)


@given(prices, discounts)
def test_outsiders_of_the_audience_pay_the_full_price(price: Decimal, discount: Discount) -> None:
    limited = discount.model_copy(update={"audience": "vip"})

    assert pay_price(price, limited, in_audience=False) == price
    assert pay_price(price, limited) == price  # the default is an outsider
    assert (
        pay_price(price, limited, in_audience=True)
        == pay_price(price, discount)
        == pay_price(price, discount, in_audience=False)
    )


@pytest.mark.parametrize(
    ("plan", "expr", "price", "paid"),
    [
        ("cut", "20", "100.00", "80.00"),
        ("cut", "100", "100.00", "0.01"),
        ("cut", "100.50", "100.00", "0.01"),
        ("cut", "0.005", "1.00", "1.00"),
        ("cut", "0.006", "1.00", "0.99"),
        ("full_cut", "100,20", "100.00", "80.00"),
        ("full_cut", "100,20", "99.99", "99.99"),
        ("full_cut", "100,100", "100.00", "0.01"),
        ("full_cut", "100, 20", "200.00", "180.00"),
        ("rate", "0.8", "100.00", "80.00"),
        ("rate", "1", "100.00", "100.00"),
        ("rate", "0.5", "0.01", "0.01"),
        ("rate", "0.125", "1.00", "0.13"),
        ("rate", "0.135", "1.00", "0.14"),
        ("rate", "0.001", "1.00", "0.01"),
        ("fixed", "80", "100.00", "80.00"),
        ("fixed", "80.005", "100.00", "80.01"),
        ("fixed", "120", "100.00", "100.00"),
        ("fixed", "0.01", "100.00", "0.01"),
    ],
)
def test_known_prices(plan: DiscountPlan, expr: str, price: str, paid: str) -> None:
    assert pay_price(Decimal(price), Discount(plan=plan, expr=expr)) == Decimal(paid)


@pytest.mark.parametrize(
    ("plan", "expr"),
    [
        ("rate", "0.014999999999999999999999999999"),
        ("cut", "0.985000000000000000000000000001"),
    ],
)
def test_the_result_is_rounded_once_however_long_the_expression(plan: DiscountPlan, expr: str) -> None:
    """0.01499… is 0.01: it is not rounded to 0.015 first, and then to 0.02."""
    assert pay_price(Decimal("1.00"), Discount(plan=plan, expr=expr)) == CENT


@pytest.mark.parametrize(
    "expr", ["", " ", "abc", "1,2", "-1", "NaN", "Infinity", "0x10", "1.2.3", "10000000000", "20,", "二十", "9" * 33]
)
@pytest.mark.parametrize("plan", [DiscountPlan.CUT, DiscountPlan.RATE, DiscountPlan.FIXED])
def test_a_malformed_expression_cannot_be_built(plan: DiscountPlan, expr: str) -> None:
    with pytest.raises(ValidationError):
        Discount(plan=plan, expr=expr)


@pytest.mark.parametrize(
    ("plan", "expr"),
    [
        ("full_cut", "100"),
        ("full_cut", "100,20,3"),
        ("full_cut", "100,-20"),
        ("full_cut", "100;20"),
        ("full_cut", "20,100"),
        ("full_cut", ",20"),
        ("rate", "0"),
        ("rate", "1.01"),
        ("fixed", "0"),
        ("fixed", "0.009"),
        ("half", "20"),
    ],
)
def test_an_expression_that_does_not_fit_its_plan_cannot_be_built(plan: DiscountPlan, expr: str) -> None:
    with pytest.raises(ValidationError):
        Discount(plan=plan, expr=expr)


@pytest.mark.parametrize("expr", ["1_000", "1e1", "２０", "+20", "-0", "20\n"])
def test_only_plain_decimal_text_is_a_number(expr: str) -> None:
    with pytest.raises(ValidationError):
        Discount(plan=DiscountPlan.CUT, expr=expr)
