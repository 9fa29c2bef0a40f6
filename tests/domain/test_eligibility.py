"""Who may take a seat, and what he is told."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from domain.campaigns import CampaignStatus
from domain.discounts import Discount, DiscountPlan
from domain.eligibility import Offer, against_joining, against_opening, quote, reasons, require
from domain.errors import ErrorCode, Refusal

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
OFFER = Offer(
    campaign_id=100123,
    campaign_version=1,
    status=CampaignStatus.ACTIVE,
    starts_at=NOW - timedelta(days=1),
    ends_at=NOW + timedelta(days=1),
    target_count=3,
    min_count=None,
    lock_ttl=900,
    payment_grace=30,
    team_ttl=86400,
    refund_window=604800,
    take_limit=1,
    discount=Discount(plan=DiscountPlan.CUT, expr="20"),
    goods_id="9890001",
    goods_name="MyBatis book",
    original_price=Decimal("100.00"),
    live_orders=0,
    stock_left=None,
)


def test_nothing_stands_against_a_seat_in_an_open_campaign() -> None:
    assert reasons(OFFER, NOW) == []
    assert against_opening(OFFER, NOW) is None


@pytest.mark.parametrize(
    ("status", "may_open", "may_join"),
    [
        ("draft", False, False),
        ("active", True, True),
        ("paused", False, False),
        ("draining", False, True),
        ("ended", False, False),
    ],
)
def test_what_each_status_allows(status: str, may_open: bool, may_join: bool) -> None:
    offer = replace(OFFER, status=CampaignStatus(status))

    assert (against_opening(offer, NOW) is None) is may_open
    assert (against_joining(offer.status) is None) is may_join
    assert (ErrorCode.CAMPAIGN_INACTIVE in reasons(offer, NOW)) is not may_join


@pytest.mark.parametrize(
    ("moment", "open_then"),
    [
        (OFFER.starts_at - timedelta(microseconds=1), False),
        (OFFER.starts_at, True),
        (OFFER.ends_at - timedelta(microseconds=1), True),
        (OFFER.ends_at, False),
    ],
)
def test_a_campaign_is_open_from_its_start_up_to_its_end(moment: datetime, open_then: bool) -> None:
    assert reasons(OFFER, moment) == ([] if open_then else [ErrorCode.CAMPAIGN_NOT_OPEN])
    assert against_opening(OFFER, moment) == (None if open_then else ErrorCode.CAMPAIGN_NOT_OPEN)


@pytest.mark.parametrize(("live", "limit", "reached"), [(0, 1, False), (1, 1, True), (2, 3, False), (3, 3, True), (3, 1, True)])
def test_the_take_limit_counts_live_orders(live: int, limit: int, reached: bool) -> None:
    found = reasons(replace(OFFER, live_orders=live, take_limit=limit), NOW)
    assert found == [ErrorCode.TAKE_LIMIT_REACHED] * reached


@pytest.mark.parametrize(("left", "exhausted"), [(None, False), (1, False), (0, True), (-1, True)])
def test_the_stock_is_exhausted_at_none_left(left: int | None, exhausted: bool) -> None:
    assert reasons(replace(OFFER, stock_left=left), NOW) == [ErrorCode.STOCK_EXHAUSTED] * exhausted


def test_every_reason_is_told_in_the_designs_order() -> None:
    hopeless = replace(OFFER, status=CampaignStatus.ENDED, live_orders=1, stock_left=0)

    assert reasons(hopeless, OFFER.ends_at) == [
        ErrorCode.CAMPAIGN_INACTIVE,
        ErrorCode.CAMPAIGN_NOT_OPEN,
        ErrorCode.TAKE_LIMIT_REACHED,
        ErrorCode.STOCK_EXHAUSTED,
    ]
    assert against_opening(hopeless, NOW) is ErrorCode.CAMPAIGN_INACTIVE


def test_a_quote_adds_up_and_says_why_not() -> None:
    found = quote(replace(OFFER, live_orders=1), NOW)

    assert (found.pay_price, found.deduction, found.original_price) == (Decimal("80.00"), Decimal("20.00"), Decimal("100.00"))
    assert (found.joinable, found.reasons) == (False, [ErrorCode.TAKE_LIMIT_REACHED])
    assert quote(OFFER, NOW).joinable


def test_a_rule_that_gave_a_code_refuses() -> None:
    require(None, "all is well")
    with pytest.raises(Refusal, match="the limit is reached") as refused:
        require(ErrorCode.TAKE_LIMIT_REACHED, "the limit is reached")
    assert refused.value.code is ErrorCode.TAKE_LIMIT_REACHED
