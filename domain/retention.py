"""Retention: which teams are removed with all their rows, and why the others are kept."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from domain.lifecycle import OrderStatus, TeamStatus
from domain.statistics import KEPT_DAYS

LEAST_DAYS = KEPT_DAYS + 29
"""a month longer than statistics and settlements are counted again from the rows"""


@dataclass(frozen=True, slots=True)
class Retention:
    """What an installation does with teams that are over."""

    days: int | None = None
    """after how many they are removed; None: never"""
    archives: bool = False
    """whether they go to the archive first"""


class Kept(StrEnum):
    """Why a team is kept, as operators read it."""

    UNDECIDED = "the team is forming"
    UNFINISHED = "an order or a refund is not done"
    UNDELIVERED = "a callback is pending"
    NEEDS_OPERATOR = "something waits for a person"
    NOT_TAKEN_OVER = "its workflow has not taken over a change"
    NOT_BOOKED = "what it did not earn is not booked"
    RECENT = "something happened, or its refund window ended, after that time"


@dataclass(frozen=True, slots=True)
class TeamRecord:
    """What the rows of a team say about whether it may be removed."""

    status: TeamStatus
    latest_at: datetime
    """the last thing that happened in it; the end of its refund window is one"""
    order_statuses: Collection[OrderStatus]
    has_open_refund: bool
    has_pending_delivery: bool
    """or an event without a sequence"""
    needs_operator: bool
    """a dead callback, a payment of another amount, or a finding of reconciliation"""
    has_wakeup: bool
    is_booked: bool
    """nobody left a completed team, or what it did not earn is booked"""


def why_kept(team: TeamRecord, cutoff: datetime) -> Kept | None:
    """Returns why a team is kept that is looked at for removal; None: it may be removed.

    Args:
        team: its rows.
        cutoff: what is newer is kept.
    """
    if team.status is TeamStatus.FORMING:
        return Kept.UNDECIDED
    if team.has_open_refund or not all(_is_done(order, team.status) for order in team.order_statuses):
        return Kept.UNFINISHED
    if team.has_pending_delivery:
        return Kept.UNDELIVERED
    if team.needs_operator:
        return Kept.NEEDS_OPERATOR
    if team.has_wakeup:
        return Kept.NOT_TAKEN_OVER
    if not team.is_booked:
        return Kept.NOT_BOOKED
    return None if team.latest_at < cutoff else Kept.RECENT


def is_under_way(order: OrderStatus, team: TeamStatus, window_end: datetime | None, now: datetime) -> bool:
    """Whether an order may still change by itself or at its buyer's request.

    Args:
        order: its status.
        team: that of its team.
        window_end: when its team's refund window ends; None: the team was never complete.
        now: the time.
    """
    return team is TeamStatus.FORMING or not _is_done(order, team) or (window_end is not None and now < window_end)


def _is_done(order: OrderStatus, team: TeamStatus) -> bool:
    """Whether nothing is owed: the payment of a failed team's paid order has to go back."""
    if order is OrderStatus.PAID:
        return team in {TeamStatus.COMPLETED, TeamStatus.COMPLETED_WITH_REFUNDS}
    return order in {OrderStatus.CANCELLED, OrderStatus.REFUNDED}
