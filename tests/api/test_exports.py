"""Exports over HTTP: begun with a list's filters, read until they are done, and downloaded."""

import uuid
from datetime import UTC, date, datetime, timedelta
from urllib.parse import urlencode

import pytest

from tests.api.polling import until
from tests.api.shop import Shop


async def test_a_list_is_exported_as_a_file(shop: Shop) -> None:
    offer = await shop.sell()
    order = await offer.seat()
    begun = (await shop.ops.post(f"/v1/ops/exports/orders?campaign_id={offer.campaign_id}")).ok(202)
    assert (begun["kind"], begun["filters"]) == ("orders", {"campaign_id": offer.campaign_id})
    path = f"/v1/ops/exports/{begun['export_id']}"
    done = (await until(lambda: shop.ops.get(path), lambda answer: answer.ok()["status"] != "running")).ok()
    assert (done["status"], done["rows"], done["failure"]) == ("done", 1, None)
    assert (await shop.ops.get("/v1/ops/exports")).ok()["data"][0]["export_id"] == begun["export_id"]
    header, line = (await shop.ops.get(f"{path}/file")).ok().decode("utf-8-sig").splitlines()
    assert (header.split(",")[0], line.split(",")[0]) == ("order_id", order["order_id"])
    (recorded,) = (await shop.ops.get("/v1/ops/audit", subject=f"export/{begun['export_id']}")).ok()["data"]
    assert recorded["outcome"] == f"orders, campaign_id={offer.campaign_id}"


@pytest.mark.parametrize(
    ("kind", "filters"),
    [
        ("statistics", {"source": "s01", "since": "2026-01-01", "until": "2026-01-31"}),
        ("settlements", {"source": "s01", "since": "2026-01", "until": "2026-02"}),
        ("audit", {"subject": "nobody/1", "since": "2026-01-01T00:00:00Z"}),
    ],
)
async def test_a_file_has_the_columns_of_the_answer_that_is_streamed(shop: Shop, kind: str, filters: dict[str, str]) -> None:
    begun = (await shop.ops.post(f"/v1/ops/exports/{kind}?{urlencode(filters)}")).ok(202)
    assert (begun["kind"], begun["filters"]) == (kind, filters)
    path = f"/v1/ops/exports/{begun['export_id']}"
    await until(lambda: shop.ops.get(path), lambda answer: answer.ok()["status"] == "done")
    streamed = (await shop.ops.get(f"/v1/ops/{kind}/export", **filters)).ok()
    assert (await shop.ops.get(f"{path}/file")).ok() == streamed


async def test_statistics_are_exported_of_the_latest_days_where_none_are_named(shop: Shop) -> None:
    begun = (await shop.ops.post("/v1/ops/exports/statistics")).ok(202)
    since, until_ = (date.fromisoformat(begun["filters"][name]) for name in ("since", "until"))
    assert (until_ - since, datetime.now(UTC).date() - until_ <= timedelta(days=1)) == (timedelta(days=30), True)


async def test_what_is_no_export_is_refused(shop: Shop) -> None:
    (await shop.ops.post("/v1/ops/exports/teams?campain_id=1")).refused("invalid_request", 422)
    (await shop.ops.get(f"/v1/ops/exports/{uuid.uuid4().hex}")).refused("export_not_found", 404)
    (await shop.ops.get(f"/v1/ops/exports/{uuid.uuid4().hex}/file")).refused("export_not_found", 404)
    (await shop.mall.post("/v1/ops/exports/orders")).refused("forbidden", 403)
