"""The four discount plans: what a buyer pays for goods of price p under an expression e (docs/campaigns.md)."""

from decimal import ROUND_HALF_UP, Decimal, localcontext
from enum import StrEnum
from functools import lru_cache
from typing import Annotated, Self

from pydantic import Field, model_validator

from domain.types import CENT, MAX_AMOUNT, Identifier, Schema, decimal_of

EXACT = 64
"""digits; more than a price and the longest expression have together, so that only the result is rounded"""


class DiscountPlan(StrEnum):
    CUT = "cut"
    """p − e (legacy: ZJ)"""
    FULL_CUT = "full_cut"
    """x,y: p − y if p ≥ x, else p (legacy: MJ)"""
    RATE = "rate"
    """p × e (legacy: ZK)"""
    FIXED = "fixed"
    """e, but at most p (legacy: N)"""


class Discount(Schema):
    """How the team price follows from the price of the goods; outside its audience the price is not reduced."""

    plan: DiscountPlan
    expr: Annotated[str, Field(min_length=1, max_length=32)]
    audience: Identifier | None = None

    @model_validator(mode="after")
    def _expression_is_well_formed(self) -> Self:
        numbers = _numbers(self.expr, 2 if self.plan is DiscountPlan.FULL_CUT else 1)
        if self.plan is DiscountPlan.RATE and not 0 < numbers[0] <= 1:
            raise ValueError("a rate is above 0 and at most 1")
        if self.plan is DiscountPlan.FIXED and numbers[0] < CENT:
            raise ValueError("a fixed price is at least 0.01")
        if self.plan is DiscountPlan.FULL_CUT and numbers[1] > numbers[0]:
            raise ValueError("full_cut cuts at most its threshold")
        return self


@lru_cache(maxsize=4096)
def parse_discount(stored: str) -> Discount:
    """Returns the discount from its stored JSON, which is the same text in all rows of a campaign."""
    return Discount.model_validate_json(stored)


def _numbers(expr: str, count: int) -> list[Decimal]:
    numbers = [decimal_of(part.strip(" ")) for part in expr.split(",")]
    if len(numbers) != count or any(number > MAX_AMOUNT for number in numbers):
        raise ValueError(f"{expr!r} is not {count} decimal number(s) from 0 to {MAX_AMOUNT}")
    return numbers


def pay_price(price: Decimal, discount: Discount, *, in_audience: bool = False) -> Decimal:
    """Returns what a buyer pays: rounded half-up to 0.01, at least 0.01 and at most the price.

    Args:
        price: the original price of the goods, in the campaign's currency.
        discount: the campaign's, or the one that a team pinned when it was opened.
        in_audience: whether the buyer is in the discount's audience; outsiders pay the price.
    """
    if discount.audience is not None and not in_audience:
        return price
    with localcontext(prec=EXACT):
        return min(price, max(CENT, _reduced(price, discount).quantize(CENT, ROUND_HALF_UP)))


def _reduced(price: Decimal, discount: Discount) -> Decimal:
    match discount.plan:
        case DiscountPlan.CUT:
            (cut,) = _numbers(discount.expr, 1)
            return price - cut
        case DiscountPlan.FULL_CUT:
            threshold, cut = _numbers(discount.expr, 2)
            return price - cut if price >= threshold else price
        case DiscountPlan.RATE:
            (rate,) = _numbers(discount.expr, 1)
            return price * rate
        case DiscountPlan.FIXED:
            (fixed,) = _numbers(discount.expr, 1)
            return fixed
