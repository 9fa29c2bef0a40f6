"""Answers in the legacy format (docs/original-format.md): the platform's objects with its names, numbers and codes."""

from collections.abc import Mapping
from datetime import datetime
from typing import Literal

from api.legacy.wire import Code
from domain.errors import ErrorCode
from domain.lifecycle import CancelReason, OrderStatus, PaymentOutcome, PaymentReason
from domain.schemas.market import Market, MarketTeam
from domain.schemas.orders import Order, Settlement

ORDER_STATUS = {OrderStatus.LOCKED: 0, OrderStatus.PAID: 1}
UNDONE = 2


def locked(order: Order, *, for_earlier_mall: bool) -> dict[str, object]:
    data: dict[str, object] = {
        "orderId": order.order_id,
        "originalPrice": order.original_price,
        "deductionPrice": order.deduction,
        "payPrice": order.pay_price,
        "tradeOrderStatus": ORDER_STATUS.get(order.status, UNDONE),
    }
    return data if for_earlier_mall else {**data, "teamId": order.team_id}


TIMED_OUT = {CancelReason.LOCK_TIMEOUT, CancelReason.TEAM_FAILED}


def settlement_refusal(settlement: Settlement) -> Code | None:
    """Returns why a payment is refunded; None for one that was booked."""
    if settlement.outcome is not PaymentOutcome.REFUNDING:
        return None
    match settlement.reason:
        case PaymentReason.MALL_BLOCKED:
            return Code.BLOCKED
        case PaymentReason.LATE_PAYMENT if settlement.order.cancel_reason in TIMED_OUT:
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


HIDING = {
    ErrorCode.GROUP_BUYING_SUSPENDED,
    ErrorCode.USER_OUTSIDE_ROLLOUT,
    ErrorCode.MALL_BLOCKED,
    ErrorCode.CAMPAIGN_INACTIVE,
}


def config_refusal(market: Market) -> ErrorCode | None:
    """Returns why a buyer is shown nothing. Other reasons only prevent a lock, and hide nothing."""
    if hiding := [reason for reason in market.quote.reasons if reason in HIDING]:
        return hiding[0]
    return None if market.quote.visible else ErrorCode.AUDIENCE_RESTRICTED


def config(market: Market, own_numbers: Mapping[str, str], user_id: str, now: datetime) -> dict[str, object]:
    """Returns the market for a buyer, with the buyer's out_trade_no in each of their own teams."""
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
    """Returns the time left as hours:minutes:seconds, where hours exceed 24 for more than a day."""
    seconds = max(int((deadline - now).total_seconds()), 0)
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
