"""Lists: filters, and pages that show each row once."""

import pytest

from embedded.demo_data import SOURCE
from tests.api.caller import Caller
from tests.api.shop import Json, Shop, fresh


async def all_pages(caller: Caller, path: str, **query: str | int) -> list[list[Json]]:
    pages: list[list[Json]] = []
    cursor: dict[str, str] = {}
    while True:
        page = (await caller.get(path, **query, **cursor)).ok()
        assert set(page) == {"data", "next_cursor"}
        pages.append(page["data"])
        if page["next_cursor"] is None:
            return pages
        cursor = {"cursor": page["next_cursor"]}


@pytest.mark.parametrize("limit", [1, 2, 3, 5, 6, 100])
async def test_paging_gives_each_row_once_newest_first(shop: Shop, limit: int) -> None:
    offer = await shop.sell(take_limit=10)
    user = fresh("user")
    orders = [await offer.seat(user_id=user) for _ in range(6)]
    newest_first = [order["order_id"] for order in orders[::-1]]
    teams = [order["team_id"] for order in orders[::-1]]
    for caller, path, query, key, expected in (
        (shop.mall, "/v1/orders", {"user_id": user}, "order_id", newest_first),
        (shop.ops, "/v1/ops/orders", {"campaign_id": offer.campaign_id}, "order_id", newest_first),
        (shop.ops, "/v1/ops/teams", {"campaign_id": offer.campaign_id}, "team_id", teams),
    ):
        pages = await all_pages(caller, path, limit=limit, **query)
        assert [row[key] for page in pages for row in page] == expected
        assert {len(page) for page in pages[:-1]} <= {limit}
        assert pages[-1]


async def test_a_team_s_orders_are_paged_through_those_who_left_among_them(shop: Shop) -> None:
    offer = await shop.sell()
    opener, leaver = await offer.seats(2)
    (await shop.refund(leaver)).ok(202)
    joiner = await offer.seat(team_id=opener["team_id"])
    path = f"/v1/teams/{opener['team_id']}/orders"
    pages = await all_pages(shop.mall, path, limit=2)
    assert pages == [[joiner, {**leaver, "status": "cancelled", "cancel_reason": "buyer"}], [opener]]
    team = await shop.team(opener["team_id"])
    assert ([member["out_trade_no"] for member in team["members"]], team["left_count"]) == (
        [opener["out_trade_no"], joiner["out_trade_no"]],
        1,
    )
    for caller, address in ((shop.other_mall, path), (shop.mall, "/v1/teams/t-none/orders")):
        assert (await caller.get(address)).code == "team_not_found"


async def test_rows_made_meanwhile_disturb_no_paging(shop: Shop) -> None:
    offer = await shop.sell()
    orders = [await offer.seat() for _ in range(4)]
    first = (await shop.ops.get("/v1/ops/orders", campaign_id=offer.campaign_id, limit=2)).ok()
    await offer.seat()
    query = {"campaign_id": offer.campaign_id, "limit": 2, "cursor": first["next_cursor"]}
    second = (await shop.ops.get("/v1/ops/orders", **query)).ok()
    found = [row["order_id"] for row in first["data"] + second["data"]]
    assert found == [order["order_id"] for order in orders[::-1]]
    assert second["next_cursor"] is None


async def test_all_campaigns_are_paged_through(shop: Shop) -> None:
    made = [(await shop.sell(status="paused")).campaign_id for _ in range(5)]
    pages = await all_pages(shop.ops, "/v1/ops/campaigns", limit=2)
    ids = [campaign["campaign_id"] for page in pages for campaign in page]
    assert len(ids) == len(set(ids))
    assert set(ids) >= {100123, 100124, *made}


async def test_orders_are_found_by_each_filter(shop: Shop) -> None:
    offer = await shop.sell(target_count=2)
    opener, joiner = await offer.seats(2)
    alone = await offer.seat()
    await shop.settle(opener)
    everything = {"campaign_id": offer.campaign_id}
    for wanted, expected in (
        ({"out_trade_no": joiner["out_trade_no"]}, [joiner]),
        ({"user_id": alone["user_id"]}, [alone]),
        ({"team_id": opener["team_id"]}, [joiner, opener]),
        ({**everything, "status": "paid"}, [opener]),
        ({**everything, "status": "locked"}, [alone, joiner]),
        ({**everything, "source": SOURCE}, [alone, joiner, opener]),
        ({**everything, "source": "s02"}, []),
        ({**everything, "owed": "true"}, []),
        ({**everything, "owed": "false"}, [alone, joiner, opener]),
        ({**everything, "user_id": fresh("user")}, []),
    ):
        found = (await shop.ops.get("/v1/ops/orders", **wanted)).ok()["data"]
        assert [order["order_id"] for order in found] == [order["order_id"] for order in expected], wanted


async def test_teams_are_found_by_each_filter(shop: Shop) -> None:
    offer = await shop.sell(target_count=2)
    orders = await offer.seats(2)
    forming = await offer.seat()
    await shop.settle(*orders)
    everything = {"campaign_id": offer.campaign_id}
    for wanted, expected in (
        ({**everything, "status": "completed"}, [orders[0]]),
        ({**everything, "status": "forming"}, [forming]),
        ({"goods_id": offer.goods_id}, [forming, orders[0]]),
        ({**everything, "source": SOURCE}, [forming, orders[0]]),
        ({**everything, "source": "s02"}, []),
        ({"goods_id": fresh("goods")}, []),
    ):
        found = (await shop.ops.get("/v1/ops/teams", **wanted)).ok()["data"]
        assert [team["team_id"] for team in found] == [order["team_id"] for order in expected], wanted
    team = (await shop.ops.get(f"/v1/ops/teams/{forming['team_id']}")).ok()
    assert team == await shop.team(forming["team_id"])
