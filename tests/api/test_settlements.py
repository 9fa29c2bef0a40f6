"""Settlements over HTTP: the share of a campaign, the parts of an order, and the report as JSON, CSV and page."""

from datetime import UTC, datetime
from typing import Any

from domain.csv_text import BYTE_ORDER_MARK
from domain.schemas.settlements import MonthlySettlement
from tests.api.polling import until
from tests.api.shop import Shop


async def test_an_order_says_who_bears_its_deduction(shop: Shop) -> None:
    offer = await shop.sell(merchant_share=75)
    order = await offer.seat()
    assert [order[name] for name in ("deduction", "merchant_deduction", "platform_deduction")] == ["20.00", "15.00", "5.00"]
    (seen,) = (await shop.ops.get("/v1/ops/orders", out_trade_no=order["out_trade_no"])).ok()["data"]
    assert seen["platform_deduction"] == "5.00"
    (team,) = (await shop.ops.get("/v1/ops/teams", campaign_id=offer.campaign_id)).ok()["data"]
    assert team["merchant_share"] == 75


async def test_a_share_is_a_whole_percentage(shop: Shop) -> None:
    offer = await shop.sell()
    path = f"/v1/ops/campaigns/{offer.campaign_id}"
    for share in (101, -1, 0.5, "50", None):
        (await shop.ops.patch(path, {"merchant_share": share})).refused("invalid_request", 422)
    assert (await shop.ops.patch(path, {"merchant_share": 0})).ok()["merchant_share"] == 0


async def test_the_report_has_months_of_malls(shop: Shop) -> None:
    async def look() -> Any:  # noqa: ANN401
        return (await shop.ops.get("/v1/ops/settlements")).ok()

    found = await until(look, lambda answer: isinstance(answer["data"], list))
    assert all(set(each) == set(MonthlySettlement.model_fields) for each in found["data"])
    this_month = f"{datetime.now(UTC):%Y-%m}"
    csv = (await shop.ops.get("/v1/ops/settlements/export", since=this_month, until=this_month)).ok().decode().splitlines()
    assert csv[0] == BYTE_ORDER_MARK + ",".join(MonthlySettlement.model_fields)
    assert (await shop.ops.get("/v1/ops/settlements", source="nobody")).ok() == {"data": [], "next_cursor": None}
    for wrong in ("2026-13", "2026-1", "2026", "0000-01"):
        (await shop.ops.get("/v1/ops/settlements", since=wrong)).refused("invalid_request", 422)
    (await shop.mall.get("/v1/ops/settlements")).refused("forbidden", 403)
