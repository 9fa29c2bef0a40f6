"""The public JSON of settlements: what a mall's trade came to in a month, and who bears the discounts."""

from typing import Annotated

from pydantic import Field

from domain.types import Balance, Moment, Schema, TotalMoney

Month = Annotated[str, Field(pattern=r"^[1-9][0-9]{3}-(0[1-9]|1[0-2])$", examples=["2026-01"])]
"""a month of UTC"""


class MonthlySettlement(Schema):
    """A month (UTC) of one mall. An order counts when its team is completed, a refund when a member leaves a completed team."""

    month: Month
    source: str
    orders: int
    """paid members of the teams that were completed in this month"""
    sales: TotalMoney
    """what these paid"""
    merchant_discount: TotalMoney
    platform_discount: TotalMoney
    """what these did not have to pay, by who bears it"""
    refunded_orders: int
    """members who left a completed team in this month"""
    refunds: TotalMoney
    """what these got back"""
    refunded_merchant_discount: TotalMoney
    refunded_platform_discount: TotalMoney
    """discounts of these, which nobody bears any more"""
    unearned_merchant_discount: Balance
    unearned_platform_discount: Balance
    """discounts of members who stayed in teams that too many left, as booked in this month: part of what was given, not more.
    Negative where bookings of an earlier month were taken back"""
    counted_at: Moment
    """the latest count: of a month that is not over, the figures grow"""
