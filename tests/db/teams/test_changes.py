"""The number that open pages compare grows with whatever happens to a team or to one of its orders."""

from db.teams.queries import count_team_changes
from tests.db.shop import Shop


async def test_whatever_happens_to_a_team_is_a_change_more(shop: Shop) -> None:
    opener, joiner = await shop.team(await shop.campaign(), locked=2)
    seen = [await _changes(shop, opener.team_id)]
    for change in (lambda: shop.settle(opener), lambda: shop.refund(joiner), lambda: shop.refund(opener)):
        await change()
        seen.append(await _changes(shop, opener.team_id))
    assert seen == sorted(set(seen))
    assert await count_team_changes(shop.database, ["none"]) == {}


async def _changes(shop: Shop, team_id: str) -> int:
    return (await count_team_changes(shop.database, [team_id]))[team_id]
