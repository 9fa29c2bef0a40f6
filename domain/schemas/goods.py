"""The public JSON of goods."""

from domain.types import Identifier, Money, Name, Schema


class Goods(Schema):
    """What malls sell, at its own price."""

    goods_id: Identifier
    name: Name
    original_price: Money
