"""The largest possible team: it fails in one transaction, its refunds start in slices, its messages stay small."""

from datetime import timedelta

import pytest

import activities.refunds
from activities.refunds import BATCH, RefundStartActivities
from domain.lifecycle import OrderStatus, TeamDecision, TeamStatus
from domain.messages.refunds import RefundInput, StartedRefunds, StartTeamRefunds
from tests.db.attempts import Attempts
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


class Starts:
    """Counts the refunds that are started, and fails at one of them."""

    def __init__(self) -> None:
        self.numbers: list[str] = []
        self.fails_at: int | None = None

    async def __call__(self, refund: RefundInput) -> None:
        if len(self.numbers) == self.fails_at:
            raise ConnectionError
        self.numbers.append(refund.out_trade_no)

    def of_team(self, shop: Shop, team_id: str) -> Attempts[StartTeamRefunds, StartedRefunds]:
        return Attempts(RefundStartActivities(shop.database, self).start_team_refunds, StartTeamRefunds(team_id=team_id))


async def test_an_interrupted_start_of_its_refunds_starts_each_once(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    opener = await thousand_members(shop)
    concluded = await shop.conclude(opener, TeamDecision.DEADLINE, DEADLINE + timedelta(minutes=1))
    assert (concluded.team.status, len(concluded.owed)) == (TeamStatus.FAILED, MEMBERS - 1)
    assert len(data_converter.payload_converter.to_payload(concluded).data) < MAX_PAYLOAD / 10
    monkeypatch.setattr(activities.refunds, "CHECKS", 0)  # none of them begins here
    starts = Starts()
    attempts = starts.of_team(shop, opener.team_id)
    starts.fails_at = MEMBERS // 2
    with pytest.raises(ConnectionError):
        await attempts.run()
    starts.fails_at = None
    assert (await attempts.run()).count == MEMBERS - 1
    assert sorted(starts.numbers) == sorted(concluded.owed)
    assert attempts.count == MEMBERS // BATCH + 1


async def test_the_next_batch_follows_when_most_of_the_last_one_have_begun_or_cannot(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(activities.refunds, "BATCH", 2)
    members = await shop.team(await shop.campaign(target_count=6), paid=5, locked=0)
    await shop.conclude(members[0], TeamDecision.CLOSE)
    starts = Starts()
    attempts = starts.of_team(shop, members[0].team_id)
    counts = []
    for _ in range(4):
        await attempts.attempt()
        counts.append(len(starts.numbers))
        if len(counts) == 3:
            await shop.refund(next(each for each in members if each.number == starts.numbers[0]))
    assert counts == [2, 2, 2, 4]
    assert (await attempts.run()).count == 5
    assert attempts.count == 4 + activities.refunds.CHECKS + 1


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
