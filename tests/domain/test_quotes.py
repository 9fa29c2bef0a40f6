"""Quotes: price, eligibility and the explanation of the rules."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from domain.eligibility import Facts, SeatIntent
from domain.errors import ErrorCode
from domain.lifecycle import CampaignStatus
from domain.pricing import Discount, DiscountPlan
from domain.quotes import BuyerState, Offer, explained_quote, quote, quote_context
from domain.switches import Switches

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
OFFER = Offer(
    source="s01",
    channel="c01",
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
    merchant_share=100,
    audience=None,
    audience_scope=(),
    goods_id="9890001",
    goods_name="MyBatis book",
    original_price=Decimal("100.00"),
)
BUYER = BuyerState("user-1", live_orders=0, stock_left=None, in_audience=False, in_discount_audience=False)
CONTEXT = quote_context(OFFER, BUYER, Switches(), SeatIntent.EITHER, NOW)


def test_the_rules_read_the_offer_and_the_buyer() -> None:
    assert CONTEXT.facts == Facts(
        intent=SeatIntent.EITHER,
        now=NOW,
        source="s01",
        channel="c01",
        goods_id="9890001",
        user_id="user-1",
        switches=Switches(),
        campaign_id=100123,
        status=CampaignStatus.ACTIVE,
        starts_at=OFFER.starts_at,
        ends_at=OFFER.ends_at,
        audience=None,
        audience_scope=(),
        in_audience=False,
        take_limit=1,
        live_orders=0,
        stock_left=None,
    )


def test_a_quote_adds_up_and_gives_its_reasons() -> None:
    found = quote(quote_context(OFFER, replace(BUYER, live_orders=1), Switches(), SeatIntent.EITHER, NOW))

    assert (found.pay_price, found.deduction, found.original_price) == (Decimal("80.00"), Decimal("20.00"), Decimal("100.00"))
    assert (found.joinable, found.reasons) == (False, [ErrorCode.TAKE_LIMIT_REACHED])
    assert quote(CONTEXT).joinable


@pytest.mark.parametrize(("member", "price"), [(True, "80.00"), (False, "100.00")])
def test_outsiders_of_a_discounts_audience_pay_the_full_price(member: bool, price: str) -> None:
    offer = replace(OFFER, discount=Discount(plan=DiscountPlan.CUT, expr="20", audience="a-1"))
    found = quote(quote_context(offer, replace(BUYER, in_discount_audience=member), Switches(), SeatIntent.EITHER, NOW))

    assert (found.pay_price, found.joinable) == (Decimal(price), True)


def test_an_explained_quote_lists_every_rule_with_its_inputs() -> None:
    found = explained_quote(quote_context(OFFER, BUYER, Switches(rollout=7), SeatIntent.EITHER, NOW))

    assert [rule.rule for rule in found.rules] == [
        *("suspended", "rollout", "blocked", "campaign", "goods", "audience", "take_limit", "stock"),
    ]
    failed = [rule for rule in found.rules if not rule.passed]
    assert [(rule.rule, rule.code, rule.inputs) for rule in failed] == [
        ("rollout", ErrorCode.USER_OUTSIDE_ROLLOUT, {"percent": 7, "bucket": 41})
    ]
    assert found.reasons == [ErrorCode.USER_OUTSIDE_ROLLOUT]
    assert all(rule.inputs for rule in found.rules)
