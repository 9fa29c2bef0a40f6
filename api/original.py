"""The original system's wire format: its names, numbers, dates and codes, and ours in its words (design.md section 10)."""

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel

from domain.errors import ErrorCode
from domain.states import CancelReason, OrderStatus, PaymentOutcome, PaymentReason
from domain.switches import Place, Switches
from domain.trade import AmqpCallback, Callback, HttpCallback, Market, MarketTeam, NewOrder, Order, Settlement
from domain.values import Identifier, Source, TeamId, utc

TEAM_SUCCESS = "topic.team_success"
NOTIFY_URL = "http://mall.example/api/v1/alipay/group_buy_notify"


class Code(StrEnum):
    """What the original's malls understand; its numbers mean what they meant there."""

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
"""What is not named here is the unknown failure."""


def code_of(error: ErrorCode) -> Code:
    return CODES.get(error, Code.UNKNOWN_FAILURE)


# --- what comes in ---


def _date(value: object) -> object:
    """As the original reads dates: ISO 8601, UTC where it names no offset, or milliseconds since 1970."""
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


class OriginalRequest(BaseModel):
    """Its fields are those of the original; others are ignored, as there."""

    model_config = ConfigDict(frozen=True, extra="ignore", alias_generator=to_camel)


class ConfigRequest(OriginalRequest):
    user_id: Identifier
    source: Source
    channel: Identifier
    goods_id: Identifier


class NotifyConfig(OriginalRequest):
    notify_type: Literal["HTTP", "MQ"]
    notify_url: Annotated[str | None, BeforeValidator(_blank_is_none), Field(examples=[NOTIFY_URL])] = None
    notify_mq: Annotated[str | None, BeforeValidator(_blank_is_none), Field(alias="notifyMQ", examples=[TEAM_SUCCESS])] = None

    @model_validator(mode="after")
    def _has_an_address(self) -> Self:
        if self.notify_type == "HTTP" and self.notify_url is None:
            raise ValueError("notifyUrl is missing")
        return self

    @property
    def callback(self) -> Callback:
        """Raises pydantic.ValidationError for what is no address."""
        if self.notify_type == "HTTP":
            return HttpCallback.model_validate({"kind": "http", "url": self.notify_url})
        return AmqpCallback(kind="amqp", routing_key=self.notify_mq or TEAM_SUCCESS)


class LockRequest(OriginalRequest):
    user_id: Identifier
    team_id: Annotated[TeamId | None, BeforeValidator(_blank_is_none)] = None
    activity_id: Annotated[int, Field(strict=True)]
    goods_id: Identifier
    source: Source
    channel: Identifier
    out_trade_no: Identifier
    notify_config: Annotated[NotifyConfig, Field(alias="notifyConfigVO")]

    @property
    def new_order(self) -> NewOrder:
        """Raises pydantic.ValidationError for what no order of ours can hold."""
        return NewOrder(
            out_trade_no=self.out_trade_no,
            user_id=self.user_id,
            goods_id=self.goods_id,
            channel=self.channel,
            campaign_id=self.activity_id,
            team_id=self.team_id,
            callback=self.notify_config.callback,
        )


class OrderRequest(OriginalRequest):
    """Names an order by all that it must agree with."""

    source: Source
    channel: Identifier
    user_id: Identifier
    out_trade_no: Identifier

    def names(self, order: Order) -> bool:
        return (self.user_id, self.channel) == (order.user_id, order.channel)


class SettlementRequest(OrderRequest):
    out_trade_time: Date


# --- dynamic configuration ---

EVERYBODY = 100
NO_EFFECT = {"cacheSwitch", "rateLimiterSwitch"}
"""what the original needed, and ours does not"""


def switch_of(key: str, value: str, sources: set[str]) -> tuple[str, Switches] | None:
    """The switch of ours that a key of the original's stands for, with its value; None for one that has no effect here.

    Args:
        key, value: as the original takes them.
        sources: the malls that there are: a place is written there as source and channel in one word.

    Raises:
        ValueError: the key or its value is none of the original's.
    """
    match key:
        case "downgradeSwitch" if value in {"0", "1"}:
            return "suspended", Switches(suspended=value == "1")
        case "cutRange" if re.fullmatch("[0-9]{1,3}", value) and int(value) <= EVERYBODY:
            return "rollout", Switches(rollout=int(value))
        case "scBlacklist":
            entries = [entry.strip() for entry in value.split(",") if entry.strip()]
            places = tuple(dict.fromkeys(place for entry in entries for place in _places(entry, sources)))
            return "blocked", Switches(blocked=places)
        case _ if key in NO_EFFECT:
            return None
    raise ValueError(f"{key[:40]!r} cannot be {value[:40]!r}")


def _places(entry: str, sources: set[str]) -> list[Place]:
    """Every place that the word can mean; of a mall that is not known, as the original's ids are made: s02c02."""
    known = [
        Place(source=source, channel=entry.removeprefix(source))
        for source in sorted(sources)
        if entry.startswith(source) and entry != source
    ]
    if known:
        return known
    unknown = re.fullmatch(r"(.+?)(c[0-9]+)", entry)
    if unknown is None:
        raise ValueError(f"{entry[:40]!r} is no source with a channel")
    return [Place(source=unknown[1], channel=unknown[2])]


# --- what goes out ---


class Envelope(BaseModel):
    """Around every answer; `code` 0000 is success, and `data` what docs/original-format.md lists for each call."""

    code: Code
    info: str
    data: dict[str, Any] | bool | None


def envelope(code: str, info: str, data: object = None) -> bytes:
    return _json({"code": code, "info": info, "data": data}).encode()


def _json(value: object) -> str:
    """JSON in which an amount is a number with its cents, as the original writes it."""
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


ORDER_STATUS = {OrderStatus.LOCKED: 0, OrderStatus.PAID: 1}
UNDONE = 2


def locked(order: Order) -> dict[str, object]:
    return {
        "orderId": order.order_id,
        "originalPrice": order.original_price,
        "deductionPrice": order.deduction,
        "payPrice": order.pay_price,
        "tradeOrderStatus": ORDER_STATUS.get(order.status, UNDONE),
        "teamId": order.team_id,
    }


TIME_RAN_OUT = {CancelReason.LOCK_TIMEOUT, CancelReason.TEAM_FAILED}


def against_settlement(settlement: Settlement) -> Code | None:
    """Why a payment goes back; None when it was booked."""
    if settlement.outcome is not PaymentOutcome.REFUNDING:
        return None
    match settlement.reason:
        case PaymentReason.MALL_BLOCKED:
            return Code.BLOCKED
        case PaymentReason.LATE_PAYMENT if settlement.order.cancel_reason in TIME_RAN_OUT:
            return Code.LATE
        case _:
            return Code.NO_SUCH_ORDER


def settled(order: Order) -> dict[str, object]:
    return {
        "userId": order.user_id,
        "teamId": order.team_id,
        "activityId": order.campaign_id,
        "outTradeNo": order.out_trade_no,
    }


def refunded(order: Order, code: Literal["success", "repeat", "fail"], info: str) -> dict[str, object]:
    return {"userId": order.user_id, "orderId": order.order_id, "teamId": order.team_id, "code": code, "info": info}


HIDES = {
    ErrorCode.GROUP_BUYING_SUSPENDED,
    ErrorCode.USER_OUTSIDE_ROLLOUT,
    ErrorCode.MALL_BLOCKED,
    ErrorCode.CAMPAIGN_INACTIVE,
}


def against_config(market: Market) -> ErrorCode | None:
    """Why a buyer is shown nothing. What bars him from a seat of his own, or only for now, still lets him look."""
    if hides := [reason for reason in market.quote.reasons if reason in HIDES]:
        return hides[0]
    return None if market.quote.visible else ErrorCode.AUDIENCE_RESTRICTED


def config(market: Market, own_numbers: Mapping[str, str], user_id: str, now: datetime) -> dict[str, object]:
    """What a buyer is shown.

    Args:
        market: what the buyer finds.
        own_numbers: the buyer's out_trade_no in each team of his own.
        user_id: the buyer.
        now: for the countdown.
    """
    quote, statistics = market.quote, market.statistics
    return {
        "activityId": quote.campaign_id,
        "goods": {
            "goodsId": quote.goods_id,
            "originalPrice": quote.original_price,
            "deductionPrice": quote.deduction,
            "payPrice": quote.pay_price,
        },
        "teamList": [_team(team, own_numbers.get(team.team_id), user_id, now) for team in market.teams],
        "teamStatistic": {
            "allTeamCount": statistics.team_count,
            "allTeamCompleteCount": statistics.completed_team_count,
            "allTeamUserCount": statistics.user_count,
        },
    }


def _team(team: MarketTeam, own_number: str | None, user_id: str, now: datetime) -> dict[str, object]:
    others = [member.user_id for member in team.members]
    return {
        "userId": user_id if team.mine else next(iter(others), None),
        "teamId": team.team_id,
        "activityId": team.campaign_id,
        "targetCount": team.target_count,
        "completeCount": team.complete_count,
        "lockCount": team.lock_count,
        "validStartTime": team.opened_at,
        "validEndTime": team.deadline,
        "validTimeCountdown": countdown(team.deadline, now),
        "outTradeNo": own_number,
    }


def countdown(deadline: datetime, now: datetime) -> str:
    """Hours, minutes, seconds; a day has 24 of the hours."""
    seconds = max(int((deadline - now).total_seconds()), 0)
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
