"""The platform's events, and what the mall does about an order because of them."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, JsonValue

_SEQUENCE_END = 2**63  # the limit of SQLite's integers


class Task(StrEnum):
    """What the mall does about an order."""

    SHIP = "ship"
    MONEY_BACK = "money back"
    CLOSED = "closed"
    WAIT = "wait"
    HOLD = "hold"


# `team.failed` has no task: each of its orders gets an event of its own (`order.cancelled` or `order.refunded`), and a
# `team.failed` with a higher sequence than a refund must not replace the task to return the money.
_TASKS = {
    "team.completed": Task.SHIP,
    "order.cancelled": Task.CLOSED,
    "order.reseated": Task.WAIT,  # the order has a seat again: keep the money until the team is decided
    "order.refund_requested": Task.HOLD,  # not shipped while the refund is under way
    "order.refunded": Task.MONEY_BACK,
}


class EventData(BaseModel):
    """The fields of `data` that the mall uses; all others are kept as they came."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, JsonValue]

    team_id: str | None = None
    out_trade_no: str | None = None
    out_trade_nos: list[str] = []

    @property
    def orders(self) -> list[str]:
        return self.out_trade_nos if self.out_trade_no is None else [self.out_trade_no]


class Event(BaseModel):
    """The body of a callback. Unknown types and fields are kept and shown, because the platform may add some."""

    type: str
    timestamp: datetime
    sequence: Annotated[int, Field(ge=0, lt=_SEQUENCE_END)]
    data: EventData

    @property
    def asks_for_consent(self) -> bool:
        return self.type == "order.refund_requested"

    @property
    def to_do(self) -> Task | None:
        return _TASKS.get(self.type)
