"""A shutdown needs a confirmation where it would undo other teams or amounts than its request names."""

from decimal import Decimal
from typing import Any

import pytest

from domain.campaigns import shutdown_risks
from domain.schemas.campaign_shutdown import NewShutdown, ShutdownPreview

REQUEST = {"teams": 3, "amount": "240.00"}


@pytest.mark.parametrize(
    ("request_fields", "actual", "fields"),
    [
        (REQUEST, (3, "240.00"), []),
        ({}, (0, "0.00"), []),
        ({}, (3, "240.00"), ["teams", "amount"]),
        ({"teams": 3}, (3, "240.00"), ["amount"]),
        ({"teams": 3}, (3, "0.00"), []),
        (REQUEST, (4, "240.00"), ["teams"]),
        (REQUEST, (3, "320.00"), ["amount"]),
        (REQUEST, (0, "0.00"), ["teams", "amount"]),
    ],
)
def test_the_risks_of_a_shutdown(request_fields: dict[str, Any], actual: tuple[int, str], fields: list[str]) -> None:
    teams, amount = actual
    preview = ShutdownPreview(
        campaign_id=1,
        teams=teams,
        orders=0,
        unpaid_orders=0,
        paid_orders=0,
        amount=Decimal(amount),
        completed_teams=0,
    )

    assert [risk.field for risk in shutdown_risks(NewShutdown.model_validate(request_fields), preview)] == fields
