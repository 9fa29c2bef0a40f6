"""What the platform tells the mall, and what the mall has to do about it."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, JsonValue

_SEQUENCE_END = 2**63  # SQLite's integers end here


class EventData(BaseModel):
    """The names inside `data` that the mall goes by; the rest is kept as it came."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, JsonValue]

    team_id: str | None = None
    out_trade_no: str | None = None
    out_trade_nos: list[str] = []

    @property
    def orders(self) -> list[str]:
        return self.out_trade_nos if self.out_trade_no is None else [self.out_trade_no]


class Event(BaseModel):
    """The body of a callback. Types and fields the mall does not know are kept and shown: the platform may add some."""

    type: str
    timestamp: datetime
    sequence: Annotated[int, Field(ge=0, lt=_SEQUENCE_END)]
    data: EventData

    @property
    def is_question(self) -> bool:
        return self.type == "order.refund_requested"

    @property
    def to_do(self) -> "ToDo | None":
        return _TO_DO.get(self.type)


class ToDo(StrEnum):
    """What the mall does with an order."""

    SHIP = "ship"
    MONEY_BACK = "money back"
    CLOSED = "closed"
    WAIT = "wait"
    HOLD = "hold"


# `team.failed` is absent on purpose. It is news: each of its orders gets an event of its own (`order.cancelled` or
# `order.refunded`), and news that overtakes a refund must not make the mall forget the money.
_TO_DO = {
    "team.completed": ToDo.SHIP,
    "order.cancelled": ToDo.CLOSED,
    "order.reseated": ToDo.WAIT,  # the seat is back: keep the money until the team is decided
    "order.refund_requested": ToDo.HOLD,  # agreed to, and not shipped while it is under way
    "order.refunded": ToDo.MONEY_BACK,
}
