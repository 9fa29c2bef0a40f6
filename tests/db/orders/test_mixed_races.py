"""Everything that can happen to a team, at the same moment: in whatever order it happens, one consistent end."""

import random
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import timedelta
from decimal import Decimal
from functools import partial

import pytest

from db.core.invariants import violations
from db.teams.conclude import extend_team
from domain.errors import ErrorCode
from domain.lifecycle import PaymentOutcome, TeamDecision
from domain.messages.orders import HeldSeat, SettledPayment
from domain.messages.teams import ConcludedTeam, ExtendTeam
from domain.schemas.campaigns import Campaign
from tests.db.shop import DEADLINE, GRACE, NOW, OVERDUE, PAY_PRICE, Member, Shop, cancelled

ROUNDS = 25
LATEST = DEADLINE + timedelta(seconds=GRACE)

Step = Callable[[], Awaitable[object]]


class Mix:
    """One team, and what is asked of it at once; the answers say what must be true afterwards."""

    def __init__(self, shop: Shop, members: list[Member], paid: int, luck: random.Random) -> None:
        self._shop = shop
        self._members = members
        self._luck = luck
        self._newcomers = [shop.joiner(members[0]) for _ in range(3)]
        self._unpaid = members[paid:]
        self._paid = members[:paid]
        self.settled: dict[Member, SettledPayment] = {}
        self.locked: dict[Member, HeldSeat | ErrorCode] = {}
        self.ended: list[ConcludedTeam] = []
        self.released: list[str] = []

    def steps(self) -> list[Step]:
        luck = self._luck
        steps: list[Step] = [partial(self._settle, member) for member in self._unpaid + self._paid[:1]]
        steps += [partial(self._lock, member) for member in self._newcomers]
        steps += [self._release] * luck.randint(0, 2)
        steps += [partial(self._conclude, ending) for ending in luck.choices([*TeamDecision], k=luck.randint(0, 2))]
        if luck.random() < 0.3:
            steps.append(self._extend)
        return luck.sample(steps, len(steps))

    async def _settle(self, member: Member) -> None:
        amount = PAY_PRICE if member in self._paid or self._luck.random() < 0.8 else Decimal("1.00")
        self.settled[member] = await self._shop.retried(lambda: self._shop.settle(member, amount))

    async def _lock(self, member: Member) -> None:
        self.locked[member] = await self._shop.retried(lambda: self._shop.try_lock(member))

    async def _release(self) -> None:
        self.released += cancelled(await self._shop.retried(lambda: self._shop.release(self._members[0], OVERDUE)))

    async def _conclude(self, ending: TeamDecision) -> None:
        self.ended.append(await self._shop.retried(lambda: self._shop.conclude(self._members[0], ending, LATEST)))

    async def _extend(self) -> None:
        asked = ExtendTeam(team_id=self._members[0].team_id, deadline=LATEST + timedelta(hours=1))
        await self._shop.retried(lambda: extend_team(self._shop.database, asked))

    async def check(self) -> str:
        """Raises where answers and rows disagree; how the team ended."""
        shop, team = self._shop, await self._shop.team_row(self._members[0])
        how = str(team["completion"] or team["fail_reason"] or "forming")
        types = Counter(await shop.event_types(self._members[0]))
        assert types["team.completed"] == (team["completion"] is not None)
        assert types["team.failed"] == (team["fail_reason"] in {"expired", "closed"})
        assert [answer.decides_team for answer in self.ended].count(True) <= 1

        for member, payment in self.settled.items():
            order = await shop.order_row(member)
            booked = payment.outcome is not PaymentOutcome.REFUNDING
            assert order["status"] == ("paid" if booked else "refunding")
            assert order["live"] is booked
            assert (await shop.settle(member, order["paid_amount"])).outcome is payment.outcome
        for member, seat in self.locked.items():
            if isinstance(seat, HeldSeat):
                again = await shop.lock(member)
                assert (
                    again.seats[0].status in ({"locked"} if how == "forming" else {"cancelled"})
                    or member.number in self.released
                )
            else:
                assert seat in {ErrorCode.TEAM_FULL, ErrorCode.TEAM_CLOSED}
                assert await shop.value("SELECT count(*) FROM orders WHERE order_id = $1", member.order_id) == 0
        if how != "forming":
            left = await shop.rows("SELECT out_trade_no, status FROM orders WHERE team_id = $1 AND live", team["team_id"])
            assert {row["status"] for row in left} <= {"paid"}
            now = await shop.conclude(self._members[0], TeamDecision.CLOSE)
            owed = [row["out_trade_no"] for row in left] if team["status"] == "failed" else []
            assert (now.decides_team, sorted(now.owed)) == (False, sorted(owed))
        return how


@pytest.mark.parametrize("seed", range(4))
async def test_one_consistent_end_whatever_comes_first(shop: Shop, seed: int) -> None:
    luck = random.Random(seed)  # noqa: S311 - the same mixes in every run
    campaign = await shop.campaign(target_count=4, min_count=3, stock=100_000)
    ends: Counter[str] = Counter()
    for _ in range(ROUNDS):
        paid, locked = luck.choice([(0, 1), (0, 3), (1, 2), (2, 2), (3, 1), (2, 1)])
        mix = Mix(shop, await shop.team(campaign, paid=paid, locked=locked), paid, luck)

        await shop.race(*(step() for step in mix.steps()))

        ends[await mix.check()] += 1
        assert await violations(shop.database) == []
    assert len(ends) > 2, ends
    assert shop.deadlocks == 0


async def test_teams_with_the_same_buyers_trade_at_once(shop: Shop) -> None:
    """Seats, payments, releases and endings of many teams share quotas and one stock: nobody waits in a circle."""
    luck = random.Random(7)  # noqa: S311
    for _ in range(12):
        campaign = await shop.campaign(target_count=5, take_limit=3, stock=12)
        buyers = [shop.fresh("u") for _ in range(4)]
        teams = [await open_with(shop, campaign, [buyers[n], buyers[n - 1]]) for n in range(4)]
        steps: list[Step] = []
        for members in teams:
            steps.append(partial(shop.conclude, members[0], luck.choice([*TeamDecision]), LATEST))
            steps.append(partial(shop.release, members[0], OVERDUE))
            steps.append(partial(shop.settle, members[1]))
            steps += [partial(shop.try_lock, shop.joiner(members[0], user=user)) for user in buyers]

        await shop.race(*(shop.retried(step) for step in luck.sample(steps, len(steps))))

        assert await violations(shop.database) == []
    assert shop.deadlocks == 0


async def open_with(shop: Shop, campaign: Campaign, users: list[str]) -> list[Member]:
    members = [shop.opener(campaign, user=users[0])]
    members += [shop.joiner(members[0], user=user) for user in users[1:]]
    for member in members:
        await shop.lock(member, NOW)
    return members
