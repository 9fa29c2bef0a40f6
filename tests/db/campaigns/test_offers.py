"""The rules of the quote, as the transaction that takes a seat applies them."""

from decimal import Decimal

import pytest

from db.campaigns.offers import read_buyer_state, read_offer, read_quote_context
from db.campaigns.store import change_campaign
from db.core.connection import connection
from domain.eligibility import quote
from domain.errors import ErrorCode, Refusal
from domain.lifecycle import OrderStatus, PaymentOutcome, TeamStatus
from domain.messages.orders import HeldSeat
from domain.schemas.campaigns import Campaign
from domain.schemas.quotes import Quote, QuoteRequest
from tests.db.shop import CHANNEL, NOW, PAY_PRICE, PRICE, SOURCE, Shop


async def quote_of(shop: Shop, campaign: Campaign, user: str) -> Quote:
    asked = QuoteRequest(goods_id=campaign.goods[0].goods_id, channel=CHANNEL, user_id=user)
    async with connection(shop.database) as conn:
        return quote(await read_quote_context(conn, SOURCE, asked, NOW))


async def refused_everywhere(shop: Shop, campaign: Campaign, team: str, user: str, code: ErrorCode) -> None:
    """An opener and a joiner alike, as the quote says; and nothing is left of it."""
    opener = shop.opener(campaign, user=user)
    rows = await shop.value("SELECT count(*) FROM orders")
    for wish in (opener, opener.wishing(team_id=team, opens_team=False)):
        assert await shop.try_lock(wish) is code
    assert (await quote_of(shop, campaign, user)).reasons == [code]
    assert await shop.value("SELECT count(*) FROM orders") == rows


SWITCHES = [
    ("suspended", True, ErrorCode.GROUP_BUYING_SUSPENDED),
    ("rollout", 0, ErrorCode.USER_OUTSIDE_ROLLOUT),
    ("blocked", [{"source": SOURCE, "channel": CHANNEL}], ErrorCode.MALL_BLOCKED),
]


@pytest.mark.parametrize(("name", "value", "code"), SWITCHES)
async def test_a_switch_refuses_new_seats_and_lets_them_in_again(shop: Shop, name: str, value: object, code: ErrorCode) -> None:
    campaign = await shop.campaign()
    (opener,) = await shop.team(campaign)

    await shop.switch(name, value)
    await refused_everywhere(shop, campaign, opener.team_id, "u-late", code)
    assert (await shop.lock(opener)).repeated, "what was answered stays answered"

    await shop.switch(name, {"suspended": False, "rollout": 100, "blocked": []}[name])
    assert isinstance(await shop.try_lock(shop.joiner(opener)), HeldSeat)


async def test_a_suspension_is_of_new_seats_alone(shop: Shop) -> None:
    campaign = await shop.campaign(target_count=2)
    opener, joiner = await shop.team(campaign, locked=2)
    await shop.switch("suspended", value=True)

    await shop.settle(opener)
    settled = await shop.settle(joiner)

    assert (settled.outcome, settled.team_status) == (PaymentOutcome.SETTLED, TeamStatus.COMPLETED)
    assert (await shop.refund(joiner)).kind == "paid_formed"


async def test_a_mall_that_is_blocked_after_the_lock_gets_its_money_back(shop: Shop) -> None:
    (opener,) = await shop.team(await shop.campaign())
    await shop.block()

    settled = await shop.settle(opener)

    assert (settled.outcome, settled.order_status) == (PaymentOutcome.REFUNDING, OrderStatus.REFUNDING)
    assert (await shop.refund_row(opener))["amount"] == PAY_PRICE


@pytest.mark.parametrize("scope", [["join"], ["visible"], ["visible", "join"]])
async def test_outsiders_of_an_audience_get_no_seat(shop: Shop, scope: list[str]) -> None:
    await shop.audience("vip", "u-in", "u-too")
    campaign = await shop.campaign(audience="vip", audience_scope=scope)
    opener = shop.opener(campaign, user="u-in")
    await shop.lock(opener)

    await refused_everywhere(shop, campaign, opener.team_id, "u-out", ErrorCode.AUDIENCE_RESTRICTED)
    assert (await quote_of(shop, campaign, "u-out")).visible is ("visible" not in scope)
    assert isinstance(await shop.try_lock(shop.joiner(opener, user="u-too")), HeldSeat)


async def test_an_audience_without_members_lets_nobody_in(shop: Shop) -> None:
    await shop.audience("nobody")
    campaign = await shop.campaign(audience="nobody", audience_scope=["join"])

    assert await shop.try_lock(shop.opener(campaign)) is ErrorCode.AUDIENCE_RESTRICTED


async def test_members_are_those_of_the_filling_in_force(shop: Shop) -> None:
    await shop.audience("vip", "u-old")
    campaign = await shop.campaign(audience="vip", audience_scope=["join"], take_limit=5)
    await shop.execute("INSERT INTO audience_members VALUES (999, 'u-new')")
    await shop.lock(shop.opener(campaign, user="u-old"))

    await shop.execute("UPDATE audiences SET import_id = 999")

    assert await shop.try_lock(shop.opener(campaign, user="u-old")) is ErrorCode.AUDIENCE_RESTRICTED
    assert isinstance(await shop.try_lock(shop.opener(campaign, user="u-new")), HeldSeat)


async def test_a_team_pins_the_price_rule_and_each_buyer_has_his_own_price(shop: Shop) -> None:
    await shop.audience("vip", "u-in", "u-too")
    campaign = await shop.campaign(discount={"plan": "cut", "expr": "20", "audience": "vip"})
    opener, member = shop.opener(campaign, user="u-out"), "u-in"
    await shop.lock(opener)
    await change_campaign(shop.database, campaign.campaign_id, {"discount": {"plan": "cut", "expr": "90"}}, by="tests", now=NOW)

    joiner = shop.joiner(opener, user=member)
    await shop.lock(joiner)

    prices = [(await shop.order_row(each))["pay_price"] for each in (opener, joiner)]
    assert prices == [PRICE, PAY_PRICE]
    assert (await quote_of(shop, campaign, member)).pay_price == Decimal("10.00"), "a new team's rule is today's"
    assert await shop.value("SELECT original_price FROM teams") == PRICE


async def test_an_offer_and_a_standing_say_together_what_one_inquiry_says(shop: Shop) -> None:
    await shop.audience("vip", "u-in")
    discount = {"plan": "cut", "expr": "20", "audience": "vip"}
    campaign = await shop.campaign(stock=5, audience="vip", audience_scope=["visible"], discount=discount)
    await shop.lock(shop.opener(campaign, user="u-in"))
    goods_id = campaign.goods[0].goods_id
    async with connection(shop.database) as conn:
        for user in ("u-in", "u-out"):
            asked = QuoteRequest(goods_id=goods_id, channel=CHANNEL, user_id=user)
            whole = await read_quote_context(conn, SOURCE, asked, NOW)
            offer = await read_offer(conn, SOURCE, CHANNEL, goods_id, None)
            assert (offer, await read_buyer_state(conn, offer, user)) == (whole.offer, whole.buyer)
        with pytest.raises(Refusal, match="campaign_not_found"):
            await read_offer(conn, SOURCE, "c99", goods_id, None)
