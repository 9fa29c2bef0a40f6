"""Lists of orders: the filters by status, and of what is owed, find by their indexes what a look at every order finds."""

import pytest

from db.orders.queries import OWED, OrderFilter, list_ops_orders
from domain.lifecycle import OrderStatus, TeamDecision
from tests.db.shop import NOW, OVERDUE, Shop


@pytest.fixture
async def orders_of_every_kind(shop: Shop) -> None:
    campaign = await shop.campaign(target_count=2)
    await shop.team(campaign, paid=2, locked=0)
    await shop.team(campaign, paid=1, locked=1)
    refunding, lapsed = await shop.team(campaign, paid=1, locked=1)
    await shop.refund(refunding)
    await shop.release(lapsed, OVERDUE)
    (refunded,) = await shop.team(campaign, paid=1, locked=0)
    await shop.refund(refunded)
    await shop.finish(refunded)
    failed = await shop.team(campaign, paid=1, locked=1)
    await shop.conclude(failed[0], TeamDecision.CLOSE, NOW)


@pytest.mark.usefixtures("orders_of_every_kind")
@pytest.mark.parametrize("status", OrderStatus)
async def test_by_status(shop: Shop, status: OrderStatus) -> None:
    found = await list_ops_orders(shop.database, OrderFilter(status=status), None, 100)
    rows = await shop.rows("SELECT order_id FROM orders WHERE status = $1", status)
    assert sorted(order.order_id for order in found) == sorted(row["order_id"] for row in rows) != []


@pytest.mark.usefixtures("orders_of_every_kind")
@pytest.mark.parametrize("owed", [True, False])
async def test_by_what_is_owed(shop: Shop, owed: bool) -> None:
    found = await list_ops_orders(shop.database, OrderFilter(owed=owed), None, 100)
    rows = await shop.rows(f"SELECT order_id FROM orders o JOIN teams t USING (team_id) WHERE {OWED} = $1", owed)  # noqa: S608
    assert sorted(order.order_id for order in found) == sorted(row["order_id"] for row in rows) != []
    assert {order.owed for order in found} == {owed}
