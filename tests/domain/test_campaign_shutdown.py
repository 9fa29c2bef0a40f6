"""What whoever ends a campaign has seen, and what is so."""

from decimal import Decimal
from typing import Any

import pytest

from domain.campaigns import shutdown_risks
from domain.schemas.campaign_shutdown import NewShutdown, ShutdownPreview

SEEN = {"teams": 3, "amount": "240.00"}


@pytest.mark.parametrize(
    ("asked", "found", "fields"),
    [
        (SEEN, (3, "240.00"), []),
        ({}, (0, "0.00"), []),
        ({}, (3, "240.00"), ["teams", "amount"]),
        ({"teams": 3}, (3, "240.00"), ["amount"]),
        ({"teams": 3}, (3, "0.00"), []),
        (SEEN, (4, "240.00"), ["teams"]),
        (SEEN, (3, "320.00"), ["amount"]),
        (SEEN, (0, "0.00"), ["teams", "amount"]),
    ],
)
def test_an_ending_does_what_was_seen(asked: dict[str, Any], found: tuple[int, str], fields: list[str]) -> None:
    teams, amount = found
    preview = ShutdownPreview(
        campaign_id=1,
        teams=teams,
        orders=0,
        unpaid_orders=0,
        paid_orders=0,
        amount=Decimal(amount),
        completed_teams=0,
    )

    assert [risk.field for risk in shutdown_risks(NewShutdown.model_validate(asked), preview)] == fields
