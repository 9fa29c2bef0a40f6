"""The list of goods: by id, of a mall, and by its indexes."""

from db.campaigns.goods import GoodsFilter, goods_page, list_goods
from domain.schemas.campaigns import CampaignGoods
from tests.db.shop import CHANNEL, SOURCE, Shop

SEED = """
WITH seeded AS (
  INSERT INTO goods SELECT format('seeded-%s', lpad(n::text, 5, '0')), 'Book', 1 FROM generate_series(1, 30000) n
  RETURNING goods_id
)
INSERT INTO campaign_goods
SELECT $1, format('m%s', row_number() OVER () % 3000), 'c01', goods_id FROM (SELECT goods_id FROM seeded ORDER BY 1) s
"""


async def test_goods_are_listed_by_id_and_by_the_malls_they_are_sold_in(shop: Shop) -> None:
    ids = sorted([await shop.goods() for _ in range(3)])
    await shop.campaign(goods=[CampaignGoods(source=source, channel=CHANNEL, goods_id=ids[0]) for source in (SOURCE, "s02")])
    await shop.campaign(goods=[CampaignGoods(source=SOURCE, channel=CHANNEL, goods_id=ids[2])])

    async def listed(filters: GoodsFilter, after: str | None = None, limit: int = 9) -> list[str]:
        return [goods.goods_id for goods in await list_goods(shop.database, filters, after, limit)]

    assert await listed(GoodsFilter()) == ids
    assert await listed(GoodsFilter(), ids[0], 1) == [ids[1]]
    assert await listed(GoodsFilter(goods_id=ids[1])) == [ids[1]]
    assert await listed(GoodsFilter(source=SOURCE)) == [ids[0], ids[2]]
    assert await listed(GoodsFilter(source=SOURCE), ids[0]) == [ids[2]]
    assert await listed(GoodsFilter(source="s02", goods_id=ids[2])) == []
    assert await listed(GoodsFilter(source="s03")) == []


async def test_goods_of_a_mall_are_found_by_an_index(shop: Shop) -> None:
    campaign = await shop.campaign()
    await shop.execute(SEED, campaign.campaign_id)
    await shop.execute("ANALYZE goods")
    await shop.execute("ANALYZE campaign_goods")
    for after in (None, "seeded-25000"):
        for filters in (GoodsFilter(source="m7"), GoodsFilter(source="m7", goods_id="seeded-00007"), GoodsFilter(goods_id="x")):
            sql, values = goods_page(filters, after, 100)
            plan = "\n".join(row[0] for row in await shop.rows(f"EXPLAIN {sql}", *values))
            assert "Seq Scan" not in plan
    assert len(await list_goods(shop.database, GoodsFilter(source="m7"), None, 500)) == 10
