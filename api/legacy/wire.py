"""Fields, codes and envelope of the legacy format."""

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo, field_validator, model_validator
from pydantic.alias_generators import to_camel

from domain.errors import ErrorCode
from domain.schemas.callback_settings import AmqpCallback, Callback, HttpCallback
from domain.schemas.orders import NewOrder, Order
from domain.types import Identifier, Source, TeamId, utc

TEAM_SUCCESS = "topic.team_success"
NOTIFY_URL = "http://mall.example/api/v1/alipay/group_buy_notify"


class Code(StrEnum):
    """The codes of the legacy format."""

    SUCCESS = "0000"
    UNKNOWN_FAILURE = "0001"
    ILLEGAL_PARAMETER = "0002"
    NUMBER_REUSED = "0003"
    RATE_LIMITED = "0006"
    NO_CAMPAIGN = "E0002"
    SUSPENDED = "E0003"
    OUTSIDE_ROLLOUT = "E0004"
    NO_SUCH_TEAM = "E0005"
    NO_SEAT = "E0006"
    AUDIENCE = "E0007"
    NOTHING_LEFT = "E0008"
    CAMPAIGN_INACTIVE = "E0101"
    CAMPAIGN_NOT_OPEN = "E0102"
    TAKE_LIMIT = "E0103"
    NO_SUCH_ORDER = "E0104"
    BLOCKED = "E0105"
    LATE = "E0106"


CODES: Mapping[ErrorCode, Code] = {
    ErrorCode.INVALID_REQUEST: Code.ILLEGAL_PARAMETER,
    ErrorCode.OUT_TRADE_NO_REUSED: Code.NUMBER_REUSED,
    ErrorCode.RATE_LIMITED: Code.RATE_LIMITED,
    ErrorCode.GOODS_NOT_FOUND: Code.NO_CAMPAIGN,
    ErrorCode.CAMPAIGN_NOT_FOUND: Code.NO_CAMPAIGN,
    ErrorCode.MALL_NOT_FOUND: Code.NO_CAMPAIGN,
    ErrorCode.GROUP_BUYING_SUSPENDED: Code.SUSPENDED,
    ErrorCode.USER_OUTSIDE_ROLLOUT: Code.OUTSIDE_ROLLOUT,
    ErrorCode.TEAM_NOT_FOUND: Code.NO_SUCH_TEAM,
    ErrorCode.TEAM_FULL: Code.NO_SEAT,
    ErrorCode.TEAM_CLOSED: Code.NO_SEAT,
    ErrorCode.ALREADY_IN_TEAM: Code.NO_SEAT,
    ErrorCode.AUDIENCE_RESTRICTED: Code.AUDIENCE,
    ErrorCode.STOCK_EXHAUSTED: Code.NOTHING_LEFT,
    ErrorCode.CAMPAIGN_INACTIVE: Code.CAMPAIGN_INACTIVE,
    ErrorCode.CAMPAIGN_NOT_OPEN: Code.CAMPAIGN_NOT_OPEN,
    ErrorCode.TAKE_LIMIT_REACHED: Code.TAKE_LIMIT,
    ErrorCode.ORDER_NOT_FOUND: Code.NO_SUCH_ORDER,
    ErrorCode.MALL_BLOCKED: Code.BLOCKED,
}
"""Any other code is an unknown failure."""


def code_of(error: ErrorCode) -> Code:
    return CODES.get(error, Code.UNKNOWN_FAILURE)


# --- requests ---


def _date(value: object) -> object:
    """Reads ISO 8601, in UTC where it names no offset, or milliseconds since 1970."""
    if isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,18}", value):
        value = int(value)
    try:
        if isinstance(value, int) and not isinstance(value, bool):
            return utc(datetime.fromtimestamp(value / 1000, UTC))
        if isinstance(value, str):
            moment = datetime.fromisoformat(value)
            return utc(moment if moment.tzinfo else moment.replace(tzinfo=UTC))
    except (ValueError, OverflowError, OSError):
        pass
    raise ValueError("a date is ISO 8601 or milliseconds since 1970")


def _blank_is_none(value: object) -> object:
    return None if isinstance(value, str) and not value.strip() else value


Date = Annotated[
    datetime, BeforeValidator(_date, json_schema_input_type=str | int), Field(examples=["2026-01-31T12:00:00.000+00:00"])
]


class LegacyRequest(BaseModel):
    """Unknown fields are ignored, as in the legacy system."""

    model_config = ConfigDict(frozen=True, extra="ignore", alias_generator=to_camel)


class ConfigRequest(LegacyRequest):
    user_id: Identifier
    source: Source
    channel: Identifier
    goods_id: Identifier


NotifyUrl = Annotated[str | None, BeforeValidator(_blank_is_none), Field(examples=[NOTIFY_URL])]


class NotifyConfig(LegacyRequest):
    notify_type: Literal["HTTP", "MQ"]
    notify_url: NotifyUrl = None
    notify_mq: Annotated[str | None, BeforeValidator(_blank_is_none), Field(alias="notifyMQ", examples=[TEAM_SUCCESS])] = None

    @model_validator(mode="after")
    def _has_an_address(self) -> Self:
        if self.notify_type == "HTTP" and self.notify_url is None:
            raise ValueError("notifyUrl is missing")
        return self

    @property
    def callback(self) -> Callback:
        """Raises pydantic.ValidationError for an invalid address."""
        if self.notify_type == "HTTP":
            return HttpCallback.model_validate({"kind": "http", "url": self.notify_url})
        return AmqpCallback(kind="amqp", routing_key=self.notify_mq or TEAM_SUCCESS)


class LockRequest(LegacyRequest):
    """A request of either generation of malls: the later one sends notifyConfigVO, the earlier one notifyUrl instead."""

    user_id: Identifier
    team_id: Annotated[TeamId | None, BeforeValidator(_blank_is_none)] = None
    activity_id: Annotated[int, Field(strict=True)]
    goods_id: Identifier
    source: Source
    channel: Identifier
    out_trade_no: Identifier
    notify_url: NotifyUrl = None
    notify_config: Annotated[NotifyConfig | None, Field(alias="notifyConfigVO", validate_default=True)] = None

    @field_validator("notify_config")
    @classmethod
    def _has_an_address(cls, notify_config: NotifyConfig | None, others: ValidationInfo) -> NotifyConfig | None:
        if notify_config is None and others.data.get("notify_url") is None:
            raise ValueError("it is missing, and so is notifyUrl")
        return notify_config

    @property
    def is_of_earlier_mall(self) -> bool:
        """Whether the answer must have the earlier generation's fields alone: to its parser an unknown field is an error."""
        return self.notify_config is None

    @property
    def new_order(self) -> NewOrder:
        """Raises pydantic.ValidationError for values that are not valid in an order."""
        notify = self.notify_config or NotifyConfig(notifyType="HTTP", notifyUrl=self.notify_url)
        return NewOrder(
            out_trade_no=self.out_trade_no,
            user_id=self.user_id,
            goods_id=self.goods_id,
            channel=self.channel,
            campaign_id=self.activity_id,
            team_id=self.team_id,
            callback=notify.callback,
        )


class OrderRequest(LegacyRequest):
    """Identifies an order, with attributes that must match it."""

    source: Source
    channel: Identifier
    user_id: Identifier
    out_trade_no: Identifier

    def names(self, order: Order) -> bool:
        return (self.user_id, self.channel) == (order.user_id, order.channel)


class SettlementRequest(OrderRequest):
    out_trade_time: Date


# --- answers ---


class Envelope(BaseModel):
    """The body of every answer: `code` 0000 is success; docs/original-format.md lists `data` for each call."""

    code: Code
    info: str
    data: dict[str, Any] | bool | None


def envelope(code: str, info: str, data: object = None) -> bytes:
    return _json({"code": code, "info": info, "data": data}).encode()


def _json(value: object) -> str:
    """Returns JSON in which an amount is a number with its cents."""
    match value:
        case Decimal():
            return f"{value:.2f}"
        case datetime():
            return json.dumps(value.astimezone(UTC).isoformat(timespec="milliseconds"))
        case dict():
            return "{" + ",".join(f"{json.dumps(name)}:{_json(each)}" for name, each in value.items()) + "}"
        case list():
            return "[" + ",".join(map(_json, value)) + "]"
        case _:
            return json.dumps(value, ensure_ascii=False)
