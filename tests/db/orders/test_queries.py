"""The order lookup: the unpaid and lapsed orders of a buyer, by which abuse is limited."""

from datetime import timedelta

from db.orders.queries import OrderLookup, look_up_order
from tests.db.shop import GRACE, LOCK_TTL, NOW, Member, Shop


async def look_up(shop: Shop, member: Member, after: timedelta = timedelta()) -> OrderLookup:
    return await look_up_order(shop.database, member.request, NOW + after)


async def test_unpaid_orders_of_a_buyer_and_those_that_lapsed_within_the_hour_are_counted(shop: Shop) -> None:
    campaign = await shop.campaign(take_limit=10)
    members = [shop.opener(campaign, user="u1") for _ in range(4)]
    for member in members:
        await shop.lock(member)
    await shop.lock(shop.opener(campaign, user="u2"))
    another = shop.opener(campaign, user="u1")

    found = await look_up(shop, another)
    assert (found.unpaid, found.lapsed, found.unpaid_until) == (4, 0, NOW + timedelta(seconds=LOCK_TTL + GRACE))

    await shop.settle(members[0])
    await shop.refund(members[1])
    found = await look_up(shop, another)
    assert (found.unpaid, found.lapsed) == (2, 0)

    await shop.release(members[2])
    found = await look_up(shop, another, timedelta(minutes=30))
    assert (found.unpaid, found.lapsed) == (1, 1)
    found = await look_up(shop, another, timedelta(hours=2))
    assert (found.unpaid, found.lapsed) == (1, 0)
    assert (await look_up(shop, another.with_request(source="s02"))).unpaid == 0
