"""Locks, payments, releases, conclusions and extensions of a team, concurrently: the result is consistent in any order."""

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
from tests.acts import act_of
from tests.db.shop import DEADLINE, GRACE, NOW, OVERDUE, PAY_PRICE, Member, Shop, cancelled

ROUNDS = 25
LATEST = DEADLINE + timedelta(seconds=GRACE)

Step = Callable[[], Awaitable[object]]


class RandomSteps:
    """A team, random concurrent steps on it, and a check of their answers against the rows."""

    def __init__(self, shop: Shop, members: list[Member], paid: int, rng: random.Random) -> None:
        self._shop = shop
        self._members = members
        self._rng = rng
        self._newcomers = [shop.joiner(members[0]) for _ in range(3)]
        self._unpaid = members[paid:]
        self._paid = members[:paid]
        self.settled: dict[Member, SettledPayment] = {}
        self.locked: dict[Member, HeldSeat | ErrorCode] = {}
        self.ended: list[ConcludedTeam] = []
        self.released: list[str] = []

    def steps(self) -> list[Step]:
        rng = self._rng
        steps: list[Step] = [partial(self._settle, member) for member in self._unpaid + self._paid[:1]]
        steps += [partial(self._lock, member) for member in self._newcomers]
        steps += [self._release] * rng.randint(0, 2)
        steps += [partial(self._conclude, decision) for decision in rng.choices([*TeamDecision], k=rng.randint(0, 2))]
        if rng.random() < 0.3:
            steps.append(self._extend)
        return rng.sample(steps, len(steps))

    async def _settle(self, member: Member) -> None:
        amount = PAY_PRICE if member in self._paid or self._rng.random() < 0.8 else Decimal("1.00")
        self.settled[member] = await self._shop.retried(lambda: self._shop.settle(member, amount))

    async def _lock(self, member: Member) -> None:
        self.locked[member] = await self._shop.retried(lambda: self._shop.try_lock(member))

    async def _release(self) -> None:
        self.released += cancelled(await self._shop.retried(lambda: self._shop.release(self._members[0], OVERDUE)))

    async def _conclude(self, decision: TeamDecision) -> None:
        self.ended.append(await self._shop.retried(lambda: self._shop.conclude(self._members[0], decision, LATEST)))

    async def _extend(self) -> None:
        minutes = (LATEST + timedelta(hours=1) - DEADLINE) // timedelta(minutes=1)
        request = ExtendTeam(team_id=self._members[0].team_id, minutes=minutes, now=NOW, act=act_of())
        await self._shop.retried(lambda: extend_team(self._shop.database, request))

    async def check(self) -> str:
        """Checks that answers and rows agree; returns how the team ended."""
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
async def test_concurrent_steps_on_a_team_end_consistently(shop: Shop, seed: int) -> None:
    rng = random.Random(seed)  # noqa: S311 - the same steps in every run
    campaign = await shop.campaign(target_count=4, min_count=3, stock=100_000)
    outcomes: Counter[str] = Counter()
    for _ in range(ROUNDS):
        paid, locked = rng.choice([(0, 1), (0, 3), (1, 2), (2, 2), (3, 1), (2, 1)])
        random_steps = RandomSteps(shop, await shop.team(campaign, paid=paid, locked=locked), paid, rng)

        await shop.race(*(step() for step in random_steps.steps()))

        outcomes[await random_steps.check()] += 1
        assert await violations(shop.database, NOW) == []
    assert len(outcomes) > 2, outcomes
    assert shop.deadlocks == 0


async def test_concurrent_steps_on_teams_with_shared_buyers_do_not_deadlock(shop: Shop) -> None:
    """Locks, payments, releases and conclusions of many teams share quotas and one stock, without deadlocks."""
    rng = random.Random(7)  # noqa: S311
    for _ in range(12):
        campaign = await shop.campaign(target_count=5, take_limit=3, stock=12)
        buyers = [shop.fresh("u") for _ in range(4)]
        teams = [await open_with(shop, campaign, [buyers[n], buyers[n - 1]]) for n in range(4)]
        steps: list[Step] = []
        for members in teams:
            steps.append(partial(shop.conclude, members[0], rng.choice([*TeamDecision]), LATEST))
            steps.append(partial(shop.release, members[0], OVERDUE))
            steps.append(partial(shop.settle, members[1]))
            steps += [partial(shop.try_lock, shop.joiner(members[0], user=user)) for user in buyers]

        await shop.race(*(shop.retried(step) for step in rng.sample(steps, len(steps))))

        assert await violations(shop.database, NOW) == []
    assert shop.deadlocks == 0


async def open_with(shop: Shop, campaign: Campaign, users: list[str]) -> list[Member]:
    members = [shop.opener(campaign, user=users[0])]
    members += [shop.joiner(members[0], user=user) for user in users[1:]]
    for member in members:
        await shop.lock(member, NOW)
    return members
