"""A team as its mall reads it: bounded by its seats, however many buyers came and left."""

from db.orders.queries import OrderFilter, list_orders, read_order_and_team
from db.teams.queries import read_team
from tests.db.shop import SOURCE, Shop

LEAVERS = 30


async def test_a_team_has_its_live_members_and_counts_those_who_left(shop: Shop) -> None:
    paid, returned, locked = await shop.team(await shop.campaign(), paid=2, locked=1)
    await shop.refund(returned)
    for leaver in [shop.joiner(paid) for _ in range(LEAVERS)]:
        await shop.lock(leaver)
        await shop.refund(leaver)
    rejoined = shop.joiner(paid, user=returned.request.user_id)
    await shop.lock(rejoined)
    team = await read_team(shop.database, SOURCE, paid.team_id)
    assert team is not None
    assert [(member.out_trade_no, member.status) for member in team.members] == [
        (paid.number, "paid"),
        (locked.number, "locked"),
        (rejoined.number, "locked"),
    ]
    assert (team.lock_count, team.left_count) == (3, LEAVERS + 1)
    assert (await read_order_and_team(shop.database, SOURCE, paid.number))[1] == team

    everyone = await list_orders(shop.database, OrderFilter(source=SOURCE, team_id=paid.team_id), None, 1000)
    assert len(everyone) == LEAVERS + 4
