"""What may be removed: a team in which nothing is open, nothing waits, and nothing happened for long."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any

import pytest
from annotated_types import Ge

from domain.lifecycle import OrderStatus, TeamStatus
from domain.retention import LEAST_DAYS, Kept, TeamRecord, is_under_way, why_kept
from domain.statistics import KEPT_DAYS
from settings import Settings

CUTOFF = datetime(2026, 5, 1, tzinfo=UTC)
INSTANT = timedelta(microseconds=1)
COMPLETED = {TeamStatus.COMPLETED, TeamStatus.COMPLETED_WITH_REFUNDS}
DONE = TeamRecord(
    status=TeamStatus.COMPLETED,
    latest_at=CUTOFF - INSTANT,
    order_statuses=[OrderStatus.PAID, OrderStatus.CANCELLED],
    has_open_refund=False,
    has_pending_delivery=False,
    needs_operator=False,
    has_wakeup=False,
    is_booked=True,
)


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({}, None),
        ({"status": TeamStatus.FORMING}, Kept.UNDECIDED),
        ({"has_open_refund": True}, Kept.UNFINISHED),
        ({"has_pending_delivery": True}, Kept.UNDELIVERED),
        ({"needs_operator": True}, Kept.NEEDS_OPERATOR),
        ({"has_wakeup": True}, Kept.NOT_TAKEN_OVER),
        ({"is_booked": False}, Kept.NOT_BOOKED),
        ({"latest_at": CUTOFF}, Kept.RECENT),
    ],
)
def test_each_thing_that_is_left_keeps_a_team(changed: dict[str, Any], reason: Kept | None) -> None:
    assert why_kept(replace(DONE, **changed), CUTOFF) is reason


@pytest.mark.parametrize(("team", "order"), [*product(TeamStatus, OrderStatus)])
def test_only_orders_that_owe_nothing_are_removed(team: TeamStatus, order: OrderStatus) -> None:
    is_done = order in {OrderStatus.CANCELLED, OrderStatus.REFUNDED} or (order is OrderStatus.PAID and team in COMPLETED)
    removable = why_kept(replace(DONE, status=team, order_statuses=[OrderStatus.CANCELLED, order]), CUTOFF) is None
    assert removable == (is_done and team is not TeamStatus.FORMING)
    assert is_under_way(order, team, None, CUTOFF) != removable
    assert is_under_way(order, team, CUTOFF + INSTANT, CUTOFF)


def test_days_that_are_counted_again_have_all_their_rows() -> None:
    (least,) = (limit.ge for limit in Settings.model_fields["retention_days"].metadata if isinstance(limit, Ge))
    assert least == LEAST_DAYS > KEPT_DAYS + 1
