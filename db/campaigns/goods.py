"""Goods: name and original price."""

from dataclasses import dataclass
from datetime import datetime

from db.campaigns.store import IS_SELLING, ONE_CHANGE_AT_A_TIME
from db.core.connection import Database, connection, transaction
from db.core.pagination import Conditions
from db.settings.audit import FormAct, is_repeat, record_change
from domain.campaigns import price_risks, require_confirmation
from domain.messages.acts import Author
from domain.pricing import parse_discount
from domain.schemas.goods import Goods

SOLD_BY = f"""
SELECT DISTINCT c.campaign_id, c.discount FROM campaign_goods JOIN campaigns c USING (campaign_id)
 WHERE goods_id = $1 AND {IS_SELLING} AND c.ends_at > $2
"""
SAVE_GOODS = """
INSERT INTO goods (goods_id, name, original_price) VALUES ($1, $2, $3)
ON CONFLICT (goods_id) DO UPDATE SET name = excluded.name, original_price = excluded.original_price
"""


async def save_goods(
    database: Database,
    goods: Goods,
    *,
    by: Author,
    now: datetime,
    confirmed: bool = False,
    form: FormAct | None = None,
) -> None:
    """Creates goods or changes their name and price. Running teams keep their price. The same form again changes nothing.

    Raises:
        ChangedSinceError: the goods are not as they were when the form was shown.
        ConfirmationRequired: campaigns sell these goods at another price, and the request is not `confirmed`.
    """
    subject = f"goods/{goods.goods_id}"
    async with transaction(database) as conn:
        await conn.execute(ONE_CHANGE_AT_A_TIME)
        if await is_repeat(conn, subject, form):
            return
        before = await conn.fetchrow(READ_GOODS, goods.goods_id)
        if before is not None:
            rows = await conn.fetch(SOLD_BY, goods.goods_id, now)
            sold = {row["campaign_id"]: parse_discount(row["discount"]) for row in rows}
            risks = price_risks(goods.goods_id, before["original_price"], goods.original_price, sold)
            require_confirmation(risks, confirmed=confirmed)
        await conn.execute(SAVE_GOODS, goods.goods_id, goods.name, goods.original_price)
        await record_change(conn, subject, goods, by=by, now=now, form=form)


READ_GOODS = "SELECT goods_id, name, original_price FROM goods WHERE goods_id = $1"


@dataclass(frozen=True, slots=True)
class GoodsFilter:
    goods_id: str | None = None
    source: str | None = None
    """a mall that a campaign sells them in, or has sold them"""


async def list_goods(database: Database, filters: GoodsFilter, after: str | None, limit: int) -> list[Goods]:
    """Returns the goods whose id is greater than `after`, by id."""
    sql, values = goods_page(filters, after, limit)
    async with connection(database) as conn:
        return [Goods(**row) for row in await conn.fetch(sql, *values)]


def goods_page(filters: GoodsFilter, after: str | None, limit: int) -> tuple[str, list[object]]:
    """Returns the SQL of the list above and its values."""
    conditions = Conditions()
    conditions.equal("goods_id", filters.goods_id)
    if filters.source is not None:
        conditions.add("goods_id IN (SELECT s.goods_id FROM campaign_goods s WHERE s.source = {})", filters.source)
    if after is not None:
        conditions.add("goods_id > {}", after)
    columns = "goods_id, name, original_price"
    return f"SELECT {columns} FROM goods WHERE {conditions} ORDER BY goods_id LIMIT {int(limit)}", conditions.values


async def read_goods(database: Database, goods_id: str) -> Goods | None:
    async with connection(database) as conn:
        row = await conn.fetchrow(READ_GOODS, goods_id)
    return Goods(**row) if row else None
