"""How far a refund is: every combination of its states has steps, and what is done never follows what is to come."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from console.refund_steps import refund_steps
from domain.lifecycle import MallAnswer, RefundKind, RefundStatus
from domain.schemas.refunds import OpsRefund
from domain.schemas.workflows import WorkflowLink

ORDER = ["done", "next", "later", "never"]


def refund(kind: RefundKind, status: RefundStatus, answer: MallAnswer | None = None) -> OpsRefund:
    return OpsRefund(
        order_id="o1",
        out_trade_no="t1",
        kind=kind,
        status=status,
        reason="",
        amount=Decimal("80.00"),
        requested_at=datetime(2026, 3, 1, tzinfo=UTC),
        finished_at=None,
        workflow=WorkflowLink(id="refund-o1-1"),
        source="s01",
        team_id="team1",
        attempt=1,
        operator=None,
        answer=answer,
        note=None,
    )


@pytest.mark.parametrize("kind", RefundKind)
@pytest.mark.parametrize("status", RefundStatus)
@pytest.mark.parametrize("answer", [None, *MallAnswer])
def test_steps_are_in_order(kind: RefundKind, status: RefundStatus, answer: MallAnswer | None) -> None:
    states = [step.state for step in refund_steps(refund(kind, status, answer))]
    assert states == sorted(states, key=ORDER.index)


def test_while_the_mall_is_asked_nothing_is_undone() -> None:
    steps = refund_steps(refund(RefundKind.PAID_FORMED, RefundStatus.AWAITING_MALL))
    assert [step.state for step in steps] == ["next", "later", "later", "later"]


def test_after_a_veto_nothing_else_happens() -> None:
    steps = refund_steps(refund(RefundKind.PAID_FORMED, RefundStatus.REJECTED, MallAnswer.VETOED))
    assert [step.state for step in steps] == ["done", "never", "never", "never"]


def test_other_kinds_gave_the_seat_back_at_once() -> None:
    steps = refund_steps(refund(RefundKind.PAID_UNFORMED, RefundStatus.ATTENTION))
    assert [step.state for step in steps] == ["done", "next", "later"]
