"""Directly or by the team's workflow: from the same rows, the same answer and the same rows afterwards.

Each example builds two equal shops with one team each, and lets the same request go one way in the one and the other way in the
other. The shops differ in names alone.
"""

from collections.abc import Awaitable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from api.openapi.declarations import NOT_SOLD, SEAT_REFUSED
from db.core.connection import Database, connection
from db.orders.lock import lock_seat_directly
from db.orders.settle import settle_payment_directly
from domain.eligibility import rollout_bucket
from domain.errors import ErrorCode, NotDirectError, Refusal
from domain.lifecycle import CampaignStatus, CancelReason, OrderStatus, PaymentOutcome, TeamStatus
from domain.messages.orders import HeldSeat, LockSeat, SettledPayment
from domain.schemas.campaigns import AudienceScope
from tests.db.shop import NOW, PAY_PRICE, SOURCE, Member, Shop, payment_of
from tests.db.test_rule_twins import AMOUNTS, BOUNDARY, ORDERS, TARGET, Case

EXAMPLES = settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
MEMBER = "member"


@dataclass(frozen=True)
class Lock:
    """What the rows say, and what is asked for: a new seat in a team that has one taken, unless it says otherwise."""

    campaign_status: CampaignStatus = CampaignStatus.ACTIVE
    is_campaign_over: bool = False
    scope: AudienceScope | None = None
    buyer: str = "outsider"
    stock_left: int | None = None
    quota: int = 0
    take_limit: int = 2
    status: TeamStatus = TeamStatus.FORMING
    deadline: datetime = NOW + timedelta(days=1)
    lock_count: int = 1
    is_suspended: bool = False
    rollout: int = 100
    is_blocked: bool = False
    opens_team: bool = False
    is_known: bool = False
    """the number has a seat already"""
    is_members: bool = False
    """the buyer has one"""
    changed: str = ""
    """a field that has other content than it should"""


OTHERS = {"team_id": "nowhere", "goods_id": "unknown", "campaign_id": 1_000_000, "user_id": "somebody", "channel": "other"}
DEVIATIONS: dict[str, Iterable[object]] = {
    "campaign_status": CampaignStatus,
    "is_campaign_over": [True],
    "scope": AudienceScope,
    "stock_left": [0, 1],
    "quota": [1, 2],
    "take_limit": [1],
    "status": TeamStatus,
    "deadline": BOUNDARY,
    "lock_count": [TARGET - 1, TARGET],
    "is_suspended": [True],
    "rollout": [0, rollout_bucket("outsider"), rollout_bucket("outsider") + 1],
    "is_blocked": [True],
    "is_known": [True],
    "is_members": [True],
    "changed": OTHERS,
}
# Few at a time, so that each rule is the only one that refuses in some examples.
DEVIATION = st.sampled_from([*DEVIATIONS]).flatmap(lambda name: st.tuples(st.just(name), st.sampled_from([*DEVIATIONS[name]])))
LOCKS = st.builds(
    lambda opens_team, buyer, deviations: Lock(opens_team=opens_team, buyer=buyer, **dict(deviations)),
    st.booleans(),
    st.sampled_from(["outsider", MEMBER]),
    st.lists(DEVIATION, max_size=3),
)


class Way:
    """A shop with one team, for one of the two ways in."""

    def __init__(self, shop: Shop, opener: Member) -> None:
        self.shop = shop
        self.opener = opener

    async def set_up(self, team: Lock) -> None:
        campaign_id = self.opener.campaign.campaign_id
        async with connection(self.shop.database) as conn:
            await Case(conn, self.opener).set_team(team.status, lock_count=team.lock_count, deadline=team.deadline)
            await conn.execute(
                "UPDATE campaigns SET status = $2, ends_at = $3, take_limit = $4, audience = $5, audience_scope = $6"
                " WHERE campaign_id = $1",
                *(campaign_id, team.campaign_status, NOW + timedelta(days=-1 if team.is_campaign_over else 30)),
                *(team.take_limit, "members" if team.scope else None, [team.scope] if team.scope else []),
            )
            if team.stock_left is not None:
                sql = "INSERT INTO campaign_stock (campaign_id, stock, live) VALUES ($1, $2, 1)"
                await conn.execute(sql, campaign_id, team.stock_left + 1)
            if team.quota:
                sql = "INSERT INTO user_quotas (campaign_id, source, user_id, live) VALUES ($1, $2, $3, $4)"
                await conn.execute(sql, campaign_id, SOURCE, team.buyer, team.quota)

    def ask(self, wish: Lock) -> Member:
        user = self.opener.request.user_id if wish.is_members else wish.buyer
        if wish.is_known:
            asked = self.opener if wish.opens_team else self.opener.with_request(opens_team=False)
        elif wish.opens_team:
            asked = self.shop.opener(self.opener.campaign, user=user)
        else:
            asked = self.shop.joiner(self.opener, user=user)
        return asked.with_request(**{wish.changed: OTHERS[wish.changed]}) if wish.changed else asked

    async def rows(self) -> dict[str, list[tuple[object, ...]]]:
        """What the request may have changed, without what tells the two shops and ways apart."""
        campaign_id = self.opener.campaign.campaign_id
        queries = {
            "teams": "SELECT status, lock_count, complete_count, version, deadline, completed_at, failed_at FROM teams"
            " WHERE campaign_id = $1 ORDER BY opened_at, version",
            "orders": "SELECT user_id, status, live, opened_team, original_price, deduction, pay_price, take_limit, locked_at,"
            " lock_expires_at, paid_amount, paid_at, payment_reported_at, payment_outcome, payment_reason, cancel_reason"
            " FROM orders WHERE campaign_id = $1 ORDER BY locked_at, opened_team DESC, user_id",
            "quotas": "SELECT user_id, live FROM user_quotas WHERE campaign_id = $1 ORDER BY user_id",
            "stock": "SELECT stock, live FROM campaign_stock WHERE campaign_id = $1",
            "events": "SELECT e.type FROM events e JOIN teams t USING (team_id) WHERE t.campaign_id = $1 ORDER BY event_no",
            "conflicts": "SELECT amount FROM payment_conflicts p JOIN orders o USING (order_id) WHERE o.campaign_id = $1",
        }
        found = {}
        for name, query in queries.items():
            rows = [tuple(row) for row in await self.shop.rows(query, campaign_id)]
            found[name] = [tuple("opener" if v == self.opener.request.user_id else v for v in row) for row in rows]
        return found


@pytest.fixture
async def examples(database: Database) -> Shop:
    """A shop that all examples of a test share; its invariants do not hold, since examples set rows as they like."""
    shop = Shop(database)
    await shop.open()
    await shop.audience("members", MEMBER)
    return shop


async def two_ways(shop: Shop, *, is_suspended: bool = False, rollout: int = 100, is_blocked: bool = False) -> tuple[Way, Way]:
    await shop.execute("DELETE FROM switches")
    ways = []
    for _ in range(2):
        opener = shop.opener(await shop.campaign(target_count=TARGET, min_count=1))
        await shop.lock(opener)
        ways.append(Way(shop, opener))
    if is_suspended:
        await shop.switch("suspended", value=True)
    if rollout < 100:
        await shop.switch("rollout", rollout)
    if is_blocked:
        await shop.block()
    return ways[0], ways[1]


async def lock_directly(shop: Shop, member: Member) -> HeldSeat:
    held, _ = await lock_seat_directly(shop.database, LockSeat(request=member.request, now=NOW), was_asked_before=False)
    return held


async def outcome(attempt: Awaitable[HeldSeat] | Awaitable[SettledPayment]) -> object:
    """What the caller is told, without the names."""
    try:
        answer = await attempt
    except Refusal as refusal:
        return refusal.code
    except NotDirectError:
        return NotDirectError
    seats = [(seat.status, seat.live, seat.keep_until) for seat in answer.seats]
    common = (answer.team, seats, answer.repeated, answer.decides_team)
    return (*common, answer.outcome, answer.reason) if isinstance(answer, SettledPayment) else common


@pytest.fixture
def refused() -> Iterator[set[ErrorCode]]:
    """The codes that the examples were refused with: all that there are."""
    codes: set[ErrorCode] = set()
    yield codes
    assert codes >= {*NOT_SOLD, *SEAT_REFUSED, ErrorCode.OUT_TRADE_NO_REUSED}


@settings(EXAMPLES, max_examples=140)
@given(asked=LOCKS)
# What is refused by one value of many is too rare to be left to chance.
@example(asked=Lock(stock_left=0))
@example(asked=Lock(stock_left=0, opens_team=True))
@example(asked=Lock(changed="goods_id"))
@example(asked=Lock(changed="goods_id", opens_team=True))
@example(asked=Lock(changed="campaign_id", opens_team=True))
@example(asked=Lock(scope=AudienceScope.JOIN))
@example(asked=Lock(rollout=0))
@example(asked=Lock(rollout=rollout_bucket("outsider"), opens_team=True))
async def test_a_lock_is_answered_alike(examples: Shop, refused: set[ErrorCode], asked: Lock) -> None:
    assume(not (asked.opens_team and asked.changed == "team_id"))  # an opener's team has its number's id
    assume(asked.rollout in {0, 100} or not asked.is_members)  # a member has another name in the other shop
    orchestrated, direct = await two_ways(
        examples, is_suspended=asked.is_suspended, rollout=asked.rollout, is_blocked=asked.is_blocked
    )
    for way in (orchestrated, direct):
        await way.set_up(asked)
    one, other = orchestrated.ask(asked), direct.ask(asked)

    expected = await outcome(examples.lock(one))
    told = await outcome(lock_directly(examples, other))

    assert told == expected
    assert await direct.rows() == await orchestrated.rows()
    if isinstance(told, ErrorCode):
        refused.add(told)


def usually(value: object, others: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Most often what refuses nothing, so that every rule is the only one that refuses in some examples."""
    return st.one_of(st.just(value), st.just(value), st.just(value), others)


@dataclass(frozen=True)
class Paid:
    """A payment, and the rows that it finds."""

    order: tuple[OrderStatus, CancelReason | None]
    amount: Decimal
    status: TeamStatus
    lock_count: int
    complete_count: int
    is_blocked: bool


PAYMENTS = st.builds(
    Paid,
    order=usually((OrderStatus.LOCKED, None), st.sampled_from(ORDERS)),
    amount=usually(PAY_PRICE, st.sampled_from(AMOUNTS)),
    status=usually(TeamStatus.FORMING, st.sampled_from(TeamStatus)),
    lock_count=st.integers(1, TARGET),
    complete_count=st.integers(0, TARGET - 1),
    is_blocked=usually(False, st.booleans()),
)


@EXAMPLES
@given(paid=PAYMENTS)
async def test_a_payment_is_settled_alike_or_not_directly(examples: Shop, paid: Paid) -> None:
    is_live = paid.order[0] in {OrderStatus.LOCKED, OrderStatus.PAID}
    # A team that has ended holds no unpaid seat, and one whose seats are all paid is complete.
    assume(paid.complete_count + (paid.order[0] is OrderStatus.LOCKED) <= paid.lock_count)
    assume(paid.order[0] is not OrderStatus.LOCKED or paid.status is TeamStatus.FORMING)
    assume(is_live or paid.lock_count < TARGET)
    orchestrated, direct = await two_ways(examples)
    for way in (orchestrated, direct):
        async with connection(examples.database) as conn:
            case = Case(conn, way.opener)
            counts = {"lock_count": paid.lock_count, "complete_count": paid.complete_count}
            await case.set_team(paid.status, deadline=NOW + timedelta(days=1), **counts)
            await case.set_order(*paid.order)
            if not is_live:
                await conn.execute("UPDATE user_quotas SET live = 0 WHERE user_id = $1", way.opener.request.user_id)
    if paid.is_blocked:
        await examples.block()
    untouched = await direct.rows()

    payment = payment_of(direct.opener, paid.amount)
    told = await outcome(settle_payment_directly(examples.database, payment))
    expected = await outcome(examples.settle(orchestrated.opener, paid.amount))

    if told is NotDirectError:
        assert isinstance(expected, tuple)
        assert expected[-2] in {PaymentOutcome.REFUNDING, PaymentOutcome.RESEATED}
        assert await direct.rows() == untouched
        wakeups = await examples.value("SELECT count(*) FROM team_wakeups WHERE team_id = $1", direct.opener.team_id)
        assert wakeups == 0
    else:
        assert told == expected
        assert await direct.rows() == await orchestrated.rows()
