"""What `groupbuy reconcile` says of a team whose workflow sees something else than the rows have."""

from datetime import UTC, datetime, timedelta

import pytest

from cli.comparison import difference
from db.reconciliation.comparison import TeamRow
from domain.lifecycle import OrderStatus, TeamStatus
from workflows.team.state import Seat, TeamState

NOON = datetime(2026, 11, 30, 12, tzinfo=UTC)


def seen(status: TeamStatus = TeamStatus.FORMING, **seats: OrderStatus) -> TeamState:
    """The view of a workflow in which these orders hold a seat, and another one has left."""
    live = {number: (order_status, True) for number, order_status in seats.items()} | {"gone": (OrderStatus.CANCELLED, False)}
    known = {
        number: Seat(user_id=number, status=order_status, live=is_live, keep_until=None, version=1)
        for number, (order_status, is_live) in live.items()
    }
    return TeamState(status=status, deadline=NOON, seats=known)


def row(status: str = "forming", deadline: datetime = NOON, unpaid: str = "", paid: str = "") -> TeamRow:
    return TeamRow(status, deadline, frozenset(unpaid.split()), frozenset(paid.split()), is_woken=False)


@pytest.mark.parametrize(
    ("view", "rows", "said"),
    [
        (seen(a=OrderStatus.LOCKED, b=OrderStatus.PAID), row(unpaid="a", paid="b"), ""),
        (seen(TeamStatus.COMPLETED, a=OrderStatus.PAID), row("completed", NOON + timedelta(hours=1), paid="a"), ""),
        (seen(a=OrderStatus.PAID), row("completed", paid="a"), "sees forming, the row is completed"),
        (seen(a=OrderStatus.PAID), row(deadline=NOON + timedelta(hours=1), paid="a"), "sees the deadline 2026-11-30 12:00:00"),
        (seen(a=OrderStatus.LOCKED), row(paid="a"), "sees 0 paid and 1 unpaid seats, the rows have 1 and 0: a"),
        (
            seen(a=OrderStatus.PAID, b=OrderStatus.PAID),
            row(paid="a c"),
            "sees 2 paid and 0 unpaid seats, the rows have 2 and 0: b, c",
        ),
    ],
)
def test_a_difference_is_said(view: TeamState, rows: TeamRow, said: str) -> None:
    found = difference(view, rows)
    assert said in found
    assert bool(found) is bool(said)
