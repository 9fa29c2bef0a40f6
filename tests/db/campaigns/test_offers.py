"""The eligibility rules: the lock applies the same ones as the quote."""

from decimal import Decimal

import pytest

from db.campaigns.offers import read_buyer_states, read_offers, read_quote_context
from db.campaigns.store import change_campaign
from db.core.connection import connection
from domain.errors import ErrorCode, Refusal
from domain.lifecycle import OrderStatus, PaymentOutcome, TeamStatus
from domain.messages.acts import command_line_author as author
from domain.messages.orders import HeldSeat
from domain.quotes import quote
from domain.schemas.campaigns import Campaign
from domain.schemas.quotes import Quote, QuoteRequest
from tests.db.shop import CHANNEL, NOW, PAY_PRICE, PRICE, SOURCE, Shop


async def quote_of(shop: Shop, campaign: Campaign, user: str) -> Quote:
    request = QuoteRequest(goods_id=campaign.goods[0].goods_id, channel=CHANNEL, user_id=user)
    async with connection(shop.database) as conn:
        return quote(await read_quote_context(conn, SOURCE, request, NOW))


async def refused_everywhere(shop: Shop, campaign: Campaign, team: str, user: str, code: ErrorCode) -> None:
    """Checks that an opener and a joiner are refused with the code of the quote, and that nothing is stored."""
    opener = shop.opener(campaign, user=user)
    rows = await shop.value("SELECT count(*) FROM orders")
    for member in (opener, opener.with_request(team_id=team, opens_team=False)):
        assert await shop.try_lock(member) is code
    assert (await quote_of(shop, campaign, user)).reasons == [code]
    assert await shop.value("SELECT count(*) FROM orders") == rows


SWITCHES = [
    ("suspended", True, ErrorCode.GROUP_BUYING_SUSPENDED),
    ("rollout", 0, ErrorCode.USER_OUTSIDE_ROLLOUT),
    ("blocked", [{"source": SOURCE, "channel": CHANNEL}], ErrorCode.MALL_BLOCKED),
]


@pytest.mark.parametrize(("name", "value", "code"), SWITCHES)
async def test_a_switch_refuses_new_seats_until_it_is_reset(shop: Shop, name: str, value: object, code: ErrorCode) -> None:
    campaign = await shop.campaign()
    (opener,) = await shop.team(campaign)

    await shop.switch(name, value)
    await refused_everywhere(shop, campaign, opener.team_id, "u-late", code)
    assert (await shop.lock(opener)).repeated, "a repeat is answered from the order"

    await shop.switch(name, {"suspended": False, "rollout": 100, "blocked": []}[name])
    assert isinstance(await shop.try_lock(shop.joiner(opener)), HeldSeat)


async def test_a_suspension_does_not_affect_payments_and_refunds(shop: Shop) -> None:
    campaign = await shop.campaign(target_count=2)
    opener, joiner = await shop.team(campaign, locked=2)
    await shop.switch("suspended", value=True)

    await shop.settle(opener)
    settled = await shop.settle(joiner)

    assert (settled.outcome, settled.team.status) == (PaymentOutcome.SETTLED, TeamStatus.COMPLETED)
    assert (await shop.refund(joiner)).kind == "paid_formed"


async def test_a_payment_to_a_channel_blocked_after_the_lock_is_refunded(shop: Shop) -> None:
    (opener,) = await shop.team(await shop.campaign())
    await shop.block()

    settled = await shop.settle(opener)

    assert (settled.outcome, settled.seats[0].status) == (PaymentOutcome.REFUNDING, OrderStatus.REFUNDING)
    assert (await shop.refund_row(opener))["amount"] == PAY_PRICE


@pytest.mark.parametrize("scope", [["join"], ["visible"], ["visible", "join"]])
async def test_users_outside_the_audience_are_refused(shop: Shop, scope: list[str]) -> None:
    await shop.audience("vip", "u-in", "u-too")
    campaign = await shop.campaign(audience="vip", audience_scope=scope)
    opener = shop.opener(campaign, user="u-in")
    await shop.lock(opener)

    await refused_everywhere(shop, campaign, opener.team_id, "u-out", ErrorCode.AUDIENCE_RESTRICTED)
    assert (await quote_of(shop, campaign, "u-out")).visible is ("visible" not in scope)
    assert isinstance(await shop.try_lock(shop.joiner(opener, user="u-too")), HeldSeat)


async def test_an_empty_audience_refuses_everybody(shop: Shop) -> None:
    await shop.audience("empty")
    campaign = await shop.campaign(audience="empty", audience_scope=["join"])

    assert await shop.try_lock(shop.opener(campaign)) is ErrorCode.AUDIENCE_RESTRICTED


async def test_membership_is_of_the_import_in_force(shop: Shop) -> None:
    await shop.audience("vip", "u-old")
    campaign = await shop.campaign(audience="vip", audience_scope=["join"], take_limit=5)
    await shop.execute("INSERT INTO audience_members VALUES (999, 'u-new')")
    await shop.lock(shop.opener(campaign, user="u-old"))

    await shop.execute("UPDATE audiences SET import_id = 999")

    assert await shop.try_lock(shop.opener(campaign, user="u-old")) is ErrorCode.AUDIENCE_RESTRICTED
    assert isinstance(await shop.try_lock(shop.opener(campaign, user="u-new")), HeldSeat)


async def test_a_team_pins_the_discount_and_each_buyer_has_an_own_price(shop: Shop) -> None:
    await shop.audience("vip", "u-in", "u-too")
    campaign = await shop.campaign(discount={"plan": "cut", "expr": "20", "audience": "vip"})
    opener, insider = shop.opener(campaign, user="u-out"), "u-in"
    await shop.lock(opener)
    await change_campaign(
        shop.database, campaign.campaign_id, {"discount": {"plan": "cut", "expr": "90"}}, by=author("tests"), now=NOW
    )

    joiner = shop.joiner(opener, user=insider)
    await shop.lock(joiner)

    prices = [(await shop.order_row(each))["pay_price"] for each in (opener, joiner)]
    assert prices == [PRICE, PAY_PRICE]
    assert (await quote_of(shop, campaign, insider)).pay_price == Decimal("10.00"), "a new team has the present discount"
    assert await shop.value("SELECT original_price FROM teams") == PRICE


async def test_offer_and_buyer_state_read_apart_equal_the_combined_read(shop: Shop) -> None:
    await shop.audience("vip", "u-in")
    discount = {"plan": "cut", "expr": "20", "audience": "vip"}
    campaign = await shop.campaign(stock=5, audience="vip", audience_scope=["visible"], discount=discount)
    await shop.lock(shop.opener(campaign, user="u-in"))
    goods_id = campaign.goods[0].goods_id
    async with connection(shop.database) as conn:
        for user in ("u-in", "u-out"):
            request = QuoteRequest(goods_id=goods_id, channel=CHANNEL, user_id=user)
            combined = await read_quote_context(conn, SOURCE, request, NOW)
            [offer] = await read_offers(conn, SOURCE, CHANNEL, goods_id, None, NOW)
            assert (offer, await read_buyer_states(conn, [(offer, user)])) == (combined.offer, [combined.buyer])
        with pytest.raises(Refusal, match="campaign_not_found"):
            await read_offers(conn, SOURCE, "c99", goods_id, None, NOW)
