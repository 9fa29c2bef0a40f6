"""A workflow's history links to the page of what it is about, whose id its own id has."""

import pytest

from domain.ids import (
    audience_workflow_id,
    payment_workflow_id,
    redelivery_workflow_id,
    refund_workflow_id,
    shutdown_workflow_id,
    team_workflow_id,
)
from workflows.console_links import console_path


@pytest.mark.parametrize(
    ("workflow_id", "path"),
    [
        (team_workflow_id("t1"), "teams/t1"),
        (team_workflow_id("refund-1"), "teams/refund-1"),
        (refund_workflow_id("o1", 12), "orders/o1"),
        (payment_workflow_id("o1"), "orders/o1"),
        (shutdown_workflow_id(100123), "campaigns/100123"),
        (redelivery_workflow_id("s-01", 7), "callbacks/resend/7"),
        (audience_workflow_id("big-spenders", 3), "audiences/big-spenders"),
        ("groupbuy-reconciliation-2026-03-01T12:00:00Z", None),
        ("callback-evt_1", None),
    ],
)
def test_the_page_of_a_workflow(workflow_id: str, path: str | None) -> None:
    assert console_path(workflow_id) == path
