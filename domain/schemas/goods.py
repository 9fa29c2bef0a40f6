"""What malls and operators see of a trade: order, team, payment, quote (design.md section 8)."""

from domain.types import Identifier, Money, Name, Schema


class Goods(Schema):
    goods_id: Identifier
    name: Name
    original_price: Money
