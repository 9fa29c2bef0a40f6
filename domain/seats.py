"""The rules of seats: who may take one, until when it is held, and what becomes of the team when a member leaves.

The statements that take and release seats repeat some of these in SQL; tests/db/test_rule_twins.py compares the two.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from domain.errors import ErrorCode, Refusal
from domain.lifecycle import TeamStatus

LAPSES_PER_SECOND = 5
"""teams whose workflows release seats in a second, where a crowd has taken them: what is left of the engine is the buyers'"""
LONGEST_DELAY = timedelta(minutes=5)
LATE_AFTER = timedelta(seconds=8)
"""after an unpaid seat could be released: if its team's workflow has not done it by then, it is done in the rows"""


def team_deadline(opened_at: datetime, team_ttl: int, campaign_ends_at: datetime) -> datetime:
    """Returns when a new team stops taking members: after `team_ttl` seconds, at the latest when its campaign ends."""
    return min(opened_at + timedelta(seconds=team_ttl), campaign_ends_at)


def is_joinable(status: TeamStatus, deadline: datetime, now: datetime) -> bool:
    """Whether a team takes members at all: it is forming, and before its deadline."""
    return status is TeamStatus.FORMING and now < deadline


def can_take_seat(status: TeamStatus, deadline: datetime, now: datetime, *, lock_count: int, target_count: int) -> bool:
    """Whether a team has a seat for another member."""
    return is_joinable(status, deadline, now) and lock_count < target_count


def lock_expiry(locked_at: datetime, lock_ttl: int, deadline: datetime) -> datetime:
    """Returns when the payment window of a seat ends: after `lock_ttl` seconds, at the latest at the team's deadline."""
    return min(locked_at + timedelta(seconds=lock_ttl), deadline)


def keep_until(lock_expires_at: datetime, payment_grace: int) -> datetime:
    """Returns until when an unpaid seat is kept: its payment window, and `payment_grace` seconds for a report on its way."""
    return lock_expires_at + timedelta(seconds=payment_grace)


def delayed_lapse(keep_until: datetime, taken_before: Sequence[float], latest: datetime) -> datetime:
    """Returns when a team's workflow releases an unpaid seat: later than it could, where a crowd's seats would lapse at once.

    The crowd is a queue, in the order of its locks, which LAPSES_PER_SECOND teams leave: so the engine is left to buyers.

    Args:
        keep_until: until when the seat is kept.
        taken_before: how many seconds before this seat those of other teams were taken that are unpaid, the latest first.
        latest: when the team is decided.
    """
    waits = (timedelta(seconds=ahead / LAPSES_PER_SECOND - ago) for ahead, ago in enumerate(taken_before, start=1))
    delay = min(max(waits, default=timedelta()), LONGEST_DELAY)
    return max(keep_until, min(keep_until + delay, latest))


def is_overdue(lock_expires_at: datetime, payment_grace: int, now: datetime) -> bool:
    """Whether an unpaid seat is released now."""
    return now >= keep_until(lock_expires_at, payment_grace)


def team_after_release(status: TeamStatus, *, seats_left: int, was_paid: bool) -> TeamStatus:
    """Returns a team's status after a member has left it, or several unpaid ones at once.

    Without members it has failed; a forming one as `abandoned`. A completed one without one of its paid members is
    `completed_with_refunds`.

    Args:
        status: the team's status before.
        seats_left: the seats that are still held.
        was_paid: whether the member who left counted as paid.
    """
    if seats_left == 0:
        return TeamStatus.FAILED
    if status is TeamStatus.COMPLETED and was_paid:
        return TeamStatus.COMPLETED_WITH_REFUNDS
    return status


@dataclass(frozen=True, slots=True)
class OrderContent:
    """What an out_trade_no stands for: a repeated request must have the same."""

    user_id: str
    goods_id: str
    channel: str
    opens_team: bool
    team_id: str
    """of an order that opens a team, derived from its out_trade_no"""


def require_same_content(out_trade_no: str, requested: OrderContent, existing: OrderContent) -> None:
    """Raises Refusal, out_trade_no_reused, where a request has other content than the order of its out_trade_no."""
    if requested != existing:
        raise Refusal(ErrorCode.OUT_TRADE_NO_REUSED, f"{out_trade_no} stands for another order.")
