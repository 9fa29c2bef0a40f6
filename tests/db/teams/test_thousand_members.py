"""The largest possible team: it fails in one transaction, its refunds start in slices, its messages stay small."""

from dataclasses import replace
from datetime import timedelta

import pytest
from temporalio.testing import ActivityEnvironment

from activities.refunds import BATCH, RefundStartActivities
from domain.lifecycle import OrderStatus, TeamDecision, TeamStatus
from domain.messages.refunds import RefundInput, StartTeamRefunds
from tests.db.shop import DEADLINE, NOW, Member, Shop
from workflows.client import data_converter
from workflows.details import SEATS_SHOWN, team_details
from workflows.team.state import Seat, TeamInput, TeamState

MEMBERS = 1000
MAX_ID = 64
MAX_PAYLOAD = 2_000_000
"""Temporal's limit of a payload"""

# The other members, who have paid like the opener.
JOIN = """
WITH others AS (
  SELECT o, 'm' || n AS name FROM orders o, generate_series(2, $2::int) n WHERE o.order_id = $1
), seats AS (
  INSERT INTO orders SELECT (jsonb_populate_record(o, jsonb_build_object('order_id', name, 'out_trade_no', name,
                                                                         'user_id', name, 'opened_team', false))).* FROM others
  RETURNING campaign_id, source, user_id
), quotas AS (
  INSERT INTO user_quotas (campaign_id, source, user_id, live) SELECT campaign_id, source, user_id, 1 FROM seats
)
UPDATE teams SET lock_count = $2, complete_count = $2 WHERE team_id = (SELECT team_id FROM orders WHERE order_id = $1)
"""


async def thousand_members(shop: Shop) -> Member:
    (opener,) = await shop.team(await shop.campaign(target_count=MEMBERS), paid=1, locked=0)
    await shop.execute(JOIN, opener.order_id, MEMBERS - 1)
    return opener


async def test_an_interrupted_start_of_its_refunds_starts_each_once(shop: Shop) -> None:
    opener = await thousand_members(shop)
    concluded = await shop.conclude(opener, TeamDecision.DEADLINE, DEADLINE + timedelta(minutes=1))
    assert (concluded.team.status, len(concluded.owed)) == (TeamStatus.FAILED, MEMBERS - 1)
    assert len(data_converter.payload_converter.to_payload(concluded).data) < MAX_PAYLOAD / 10
    started: list[str] = []
    failing_after = MEMBERS // 2

    async def start(refund: RefundInput) -> None:
        if len(started) == failing_after:
            raise ConnectionError
        started.append(refund.out_trade_no)

    environment = ActivityEnvironment()
    heartbeats: list[str] = []
    environment.on_heartbeat = heartbeats.append
    starts, request = RefundStartActivities(shop.database, start), StartTeamRefunds(team_id=opener.team_id)
    with pytest.raises(ConnectionError):
        await environment.run(starts.start_team_refunds, request)
    assert len(heartbeats) == failing_after // BATCH
    failing_after = MEMBERS
    environment.info = replace(environment.info, heartbeat_details=heartbeats[-1:])
    await environment.run(starts.start_team_refunds, request)
    assert sorted(started) == sorted(concluded.owed)


def test_what_its_workflow_carries_on_and_shows_is_bounded() -> None:
    seat = Seat(user_id="u" * MAX_ID, status=OrderStatus.PAID, live=True, keep_until=NOW, version=1)
    state = TeamState(deadline=DEADLINE, version=1, seats={f"{n:x>{MAX_ID}}": seat for n in range(MEMBERS)})
    team = TeamInput(
        team_id="t",
        source="s01",
        campaign_id=1,
        goods_id="g",
        goods_name="book",
        target_count=MEMBERS,
        state=state,
    )
    assert len(data_converter.payload_converter.to_payload(team).data) < MAX_PAYLOAD / 2
    shown = team_details(state, MEMBERS, [])
    assert f"{MEMBERS} paid and 0 unpaid of {MEMBERS} seats" in shown
    assert shown.count("\n| ") == SEATS_SHOWN + 1
    assert f"… and {MEMBERS - SEATS_SHOWN} more." in shown
