"""Goods."""

from datetime import UTC, datetime

from api.dependencies import Confirm, ContainerDep, OpsDep
from api.http.routing import api_router
from api.openapi.declarations import refuses
from db.campaigns.goods import read_goods, save_goods
from domain.errors import ErrorCode, Refusal
from domain.schemas.goods import Goods
from domain.types import Identifier, Name, Price, Schema

router = api_router("/v1/ops/goods", tags=["operations"])


class GoodsFields(Schema):
    name: Name
    original_price: Price


@router.put("/{goods_id}", openapi_extra=refuses(ErrorCode.CONFIRMATION_REQUIRED))
async def put_goods(
    goods_id: Identifier, fields: GoodsFields, ops: OpsDep, container: ContainerDep, confirm: Confirm = False
) -> Goods:
    """Create goods, or change them. Another price of goods that campaigns sell is to be confirmed."""
    goods = Goods(goods_id=goods_id, name=fields.name, original_price=fields.original_price)
    await save_goods(container.database, goods, by=ops, now=datetime.now(UTC), confirmed=confirm)
    return goods


@router.get("/{goods_id}")
async def get_goods(goods_id: Identifier, _ops: OpsDep, container: ContainerDep) -> Goods:
    goods = await read_goods(container.database, goods_id)
    if goods is None:
        raise Refusal(ErrorCode.GOODS_NOT_FOUND, f"There are no goods {goods_id}.")
    return goods
