"""Goods: name and original price."""

from datetime import datetime

from db.core.connection import Database, connection, transaction
from db.settings.audit import record_change
from domain.schemas.goods import Goods

SAVE_GOODS = """
INSERT INTO goods (goods_id, name, original_price) VALUES ($1, $2, $3)
ON CONFLICT (goods_id) DO UPDATE SET name = excluded.name, original_price = excluded.original_price
"""


async def save_goods(database: Database, goods: Goods, *, by: str, now: datetime) -> None:
    """Creates goods or changes their name and price. Running teams keep their price."""
    async with transaction(database) as conn:
        await conn.execute(SAVE_GOODS, goods.goods_id, goods.name, goods.original_price)
        await record_change(conn, f"goods/{goods.goods_id}", goods, by=by, now=now)


READ_GOODS = "SELECT goods_id, name, original_price FROM goods WHERE goods_id = $1"


async def read_goods(database: Database, goods_id: str) -> Goods | None:
    async with connection(database) as conn:
        row = await conn.fetchrow(READ_GOODS, goods_id)
    return Goods(**row) if row else None
