"""Where SQL repeats a rule of `domain` for speed, both decide the same generated cases, and must agree.

Each case changes the rows of one team, runs one statement, and is rolled back.
"""

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import permutations, product

import asyncpg
import pytest

from db.campaigns.market import MarketView, teams_for, teams_for_all
from db.campaigns.offers import read_offers
from db.core.connection import Connection, Row, transaction
from db.orders import lock, queries, release, settle
from domain.eligibility import STATUSES_WITH_SEATS, Facts, SeatIntent, check_stock, check_take_limit
from domain.errors import ErrorCode, Refusal
from domain.lifecycle import (
    CampaignStatus,
    CancelReason,
    OrderStatus,
    PaymentDecision,
    PaymentFacts,
    PaymentOutcome,
    TeamStatus,
    completes_team,
    decide_payment,
)
from domain.limits import LAPSE_MEMORY
from domain.messages.orders import LockSeat
from domain.quotes import choose_offer, rank_offer
from domain.seats import can_take_seat, is_overdue, keep_until, lock_expiry, team_after_release
from domain.switches import MallChannel, Switches
from tests.db.shop import CHANNEL, GRACE, LOCK_TTL, NOW, PAY_PRICE, PRICE, SOURCE, Member, Shop

TARGET = 3
CENT = Decimal("0.01")
INSTANT = timedelta(microseconds=1)
BOUNDARY = [NOW - INSTANT, NOW, NOW + INSTANT, NOW + timedelta(days=1)]


class Case:
    """One team of TARGET seats with one order, whose rows a case sets as it likes."""

    def __init__(self, conn: Connection, member: Member) -> None:
        self.conn = conn
        self.member = member

    async def set_team(
        self, status: TeamStatus = TeamStatus.FORMING, *, lock_count: int = 1, complete_count: int = 0, deadline: datetime = NOW
    ) -> None:
        failed, was_completed = status is TeamStatus.FAILED, status not in {TeamStatus.FORMING, TeamStatus.FAILED}
        await self.conn.execute(
            "UPDATE teams SET status = $2, lock_count = $3, complete_count = $4, deadline = $5, completed_at = $6,"
            " completion = $7, failed_at = $8, fail_reason = $9 WHERE team_id = $1",
            *(self.member.team_id, status, lock_count, complete_count, deadline),
            *(NOW if was_completed else None, "target" if was_completed else None),
            *(NOW if failed else None, "expired" if failed else None),
        )

    async def set_order(self, status: OrderStatus, reason: CancelReason | None = None, expires_at: datetime = NOW) -> None:
        has_payment = status not in {OrderStatus.LOCKED, OrderStatus.CANCELLED}
        await self.conn.execute(
            "UPDATE orders SET status = $2, live = $3, cancel_reason = $4, cancelled_at = $5, lock_expires_at = $6,"
            " paid_amount = $7, payment_outcome = $8 WHERE order_id = $1",
            *(self.member.order_id, status, status in {OrderStatus.LOCKED, OrderStatus.PAID}),
            *(reason, NOW if reason else None, expires_at),
            *(PAY_PRICE if has_payment else None, "settled" if has_payment else None),
        )

    async def set_blocked(self, blocked: Sequence[MallChannel]) -> None:
        await self.conn.execute(
            "INSERT INTO switches (name, value, version, changed_by, changed_at) VALUES ('blocked', $1, 1, 'tests', $2)",
            *(json.dumps([channel.model_dump() for channel in blocked]), NOW),
        )

    async def run(self, sql: str, *values: object) -> Row | None:
        return await self.conn.fetchrow(sql, *values)


class Cases:
    def __init__(self, conn: Connection, member: Member) -> None:
        self._conn = conn
        self._member = member

    @asynccontextmanager
    async def case(self) -> AsyncIterator[Case]:
        savepoint = self._conn.transaction()
        await savepoint.start()
        try:
            yield Case(self._conn, self._member)
        finally:
            await savepoint.rollback()


@pytest.fixture
async def cases(shop: Shop) -> AsyncIterator[Cases]:
    opener = shop.opener(await shop.campaign(target_count=TARGET, stock=10))
    await shop.lock(opener)
    async with transaction(shop.database) as conn:
        yield Cases(conn, opener)


# --- payments ---

BLOCKED_CHANNELS = [
    (),
    (MallChannel(source=SOURCE, channel=CHANNEL),),
    (MallChannel(source=SOURCE, channel="other"),),
    (MallChannel(source="other", channel=CHANNEL),),
    (MallChannel(source="other", channel="other"), MallChannel(source=SOURCE, channel=CHANNEL)),
]
AMOUNTS = [PAY_PRICE, PAY_PRICE - CENT, PAY_PRICE + CENT, PRICE, CENT]
ORDERS: list[tuple[OrderStatus, CancelReason | None]] = [
    *((status, None) for status in OrderStatus if status is not OrderStatus.CANCELLED),
    *((OrderStatus.CANCELLED, reason) for reason in CancelReason),
]
UNPAID = {OrderStatus.LOCKED, OrderStatus.CANCELLED}
SETTLED = PaymentDecision(PaymentOutcome.SETTLED)


def payment_values(member: Member, amount: Decimal) -> tuple[object, ...]:
    return (member.order_id, NOW, amount, NOW)


REQUEST = "request-1"


async def test_the_statement_for_most_payments_settles_what_decide_payment_settles(cases: Cases) -> None:
    for (status, reason), amount, blocked, paid in product(ORDERS, AMOUNTS, BLOCKED_CHANNELS, range(TARGET)):
        async with cases.case() as case:
            await case.set_team(lock_count=TARGET, complete_count=paid, deadline=NOW + timedelta(days=1))
            await case.set_order(status, reason)
            await case.set_blocked(blocked)
            values = payment_values(case.member, amount)

            row = await case.run(settle.SETTLE_AT_ONCE, *values, case.member.team_id, REQUEST)

            is_blocked = Switches(blocked=blocked).blocks(SOURCE, CHANNEL)
            facts = PaymentFacts(status, reason, amount, PAY_PRICE, is_blocked)
            settles = status in UNPAID and decide_payment(facts) == SETTLED
            # The payment that completes the team is left to the transaction that writes its event.
            expected = settles and not completes_team(paid + 1, TARGET)
            assert (row is not None) is expected, (status, reason, amount, blocked, paid)
            assert row is None or row["status"] == TeamStatus.FORMING


async def test_the_lock_of_an_order_reads_whether_its_channel_is_blocked(cases: Cases) -> None:
    for blocked in BLOCKED_CHANNELS:
        async with cases.case() as case:
            await case.set_blocked(blocked)
            order = await case.run(release.LOCK_ORDER, case.member.order_id)
            assert order is not None
            assert order["is_blocked"] is Switches(blocked=blocked).blocks(SOURCE, CHANNEL)


@pytest.mark.parametrize("paid", range(TARGET))
async def test_a_payment_completes_the_team_when_completes_team_says_so(cases: Cases, paid: int) -> None:
    expected = TeamStatus.COMPLETED if completes_team(paid + 1, TARGET) else TeamStatus.FORMING
    for reseats in (False, True):
        async with cases.case() as case:
            locked = TARGET - 1 if reseats else TARGET
            await case.set_team(lock_count=locked, complete_count=paid, deadline=NOW + timedelta(days=1))
            if reseats:
                await case.set_order(OrderStatus.CANCELLED, CancelReason.LOCK_TIMEOUT)
                await case.conn.execute("UPDATE user_quotas SET live = 0")
            sql = settle.RESEAT if reseats else settle.SETTLE

            row = await case.run(sql, *payment_values(case.member, PAY_PRICE), REQUEST)

            assert row is not None
            assert row["status"] == expected


# --- seats ---


async def take_seat(case: Case, sql: str, member: Member, *values: object, take_limit: int = 1) -> Row | ErrorCode:
    """Takes a seat for a new buyer; returns the statement's row, or the code that it refuses with."""
    order = lock._order_values(LockSeat(request=member.request, now=NOW), PRICE, PAY_PRICE, 100, take_limit)
    try:
        return await lock._take(case.conn, member.request, ErrorCode.TEAM_FULL, sql, *order, *values)
    except Refusal as refusal:
        return refusal.code


def teams() -> list[tuple[TeamStatus, datetime, int]]:
    return [*product(TeamStatus, BOUNDARY, range(1, TARGET + 1))]


async def test_the_statement_that_joins_a_team_takes_the_seats_of_can_take_seat(shop: Shop, cases: Cases) -> None:
    for status, deadline, lock_count in teams():
        async with cases.case() as case:
            await case.set_team(status, lock_count=lock_count, deadline=deadline)

            taken = await take_seat(case, lock.JOIN_TEAM, shop.joiner(case.member))

            expected = can_take_seat(status, deadline, NOW, lock_count=lock_count, target_count=TARGET)
            assert (taken is not ErrorCode.TEAM_FULL) is expected, (status, deadline, lock_count)
            if isinstance(taken, asyncpg.Record):
                assert taken["lock_expires_at"] == lock_expiry(NOW, LOCK_TTL, deadline)


async def test_the_statement_that_reseats_takes_the_seats_of_can_take_seat(cases: Cases) -> None:
    for status, deadline, lock_count in teams():
        async with cases.case() as case:
            await case.set_team(status, lock_count=lock_count, deadline=deadline)
            await case.set_order(OrderStatus.CANCELLED, CancelReason.LOCK_TIMEOUT)
            await case.conn.execute("UPDATE user_quotas SET live = 0")

            row = await case.run(settle.RESEAT, *payment_values(case.member, PAY_PRICE), REQUEST)

            expected = can_take_seat(status, deadline, NOW, lock_count=lock_count, target_count=TARGET)
            assert (row is not None) is expected, (status, deadline, lock_count)


async def test_the_market_lists_the_teams_of_can_take_seat(cases: Cases) -> None:
    for status, deadline, lock_count in teams():
        for is_member in (False, True):
            async with cases.case() as case:
                await case.set_team(status, lock_count=lock_count, deadline=deadline)
                request, campaign_id = case.member.request, case.member.campaign.campaign_id
                user = request.user_id if is_member else "somebody-else"
                view = MarketView(SOURCE, campaign_id, request.goods_id, 10)

                listed = await teams_for(case.conn, view, NOW, user, sees_others=True)

                expected = can_take_seat(status, deadline, NOW, lock_count=lock_count, target_count=TARGET)
                assert [team.mine for team in listed] == [is_member] * expected, (status, deadline, lock_count)
                (for_all,) = await teams_for_all(case.conn, [view], NOW)
                assert len(for_all) == expected, (status, deadline, lock_count)


def counts(live_orders: int, take_limit: int, stock_left: int | None) -> Facts:
    return Facts(
        intent=SeatIntent.JOIN,
        now=NOW,
        source=SOURCE,
        channel=CHANNEL,
        goods_id="g1",
        user_id="u1",
        switches=Switches(),
        campaign_id=1,
        status=CampaignStatus.ACTIVE,
        starts_at=NOW,
        ends_at=NOW,
        audience=None,
        audience_scope=(),
        in_audience=False,
        take_limit=take_limit,
        live_orders=live_orders,
        stock_left=stock_left,
    )


async def test_the_statement_that_takes_a_seat_refuses_by_the_rules_of_take_limit_and_stock(shop: Shop, cases: Cases) -> None:
    for live, take_limit, stock_left in product(range(3), (1, 2), (0, 1, None)):
        async with cases.case() as case:
            await case.set_team(deadline=NOW + timedelta(days=1))
            joiner = shop.joiner(case.member)
            if live:
                await case.conn.execute(
                    "INSERT INTO user_quotas (campaign_id, source, user_id, live) VALUES ($1, $2, $3, $4)",
                    *(joiner.campaign.campaign_id, SOURCE, joiner.request.user_id, live),
                )
            if stock_left is None:
                await case.conn.execute("DELETE FROM campaign_stock")
            else:
                await case.conn.execute("UPDATE campaign_stock SET stock = live + $1", stock_left)

            taken = await take_seat(case, lock.JOIN_TEAM, joiner, take_limit=take_limit)

            facts = counts(live, take_limit, stock_left)
            expected = check_take_limit(facts) or check_stock(facts)
            assert (taken if isinstance(taken, ErrorCode) else None) is expected, (live, take_limit, stock_left)


@pytest.mark.parametrize("status", CampaignStatus)
async def test_the_statement_that_opens_a_team_needs_a_campaign_in_a_status_with_new_teams(
    shop: Shop, cases: Cases, status: CampaignStatus
) -> None:
    async with cases.case() as case:
        opener = shop.opener(case.member.campaign)
        await case.conn.execute("UPDATE campaigns SET status = $1", status)
        campaign = opener.campaign
        terms = (campaign.target_count, campaign.min_count, campaign.lock_ttl, campaign.payment_grace, campaign.refund_window)
        identity = (campaign.campaign_id, 1, opener.request.goods_id, campaign.discount.model_dump_json())
        deadline = NOW + timedelta(days=1)

        taken = await take_seat(case, lock.OPEN_TEAM, opener, *identity, *terms, deadline, campaign.merchant_share)

        expected = status in STATUSES_WITH_SEATS[SeatIntent.OPEN]
        assert isinstance(taken, asyncpg.Record) is expected
        if isinstance(taken, asyncpg.Record):
            assert taken["lock_expires_at"] == lock_expiry(NOW, campaign.lock_ttl, deadline)


async def test_the_campaign_that_is_offered_is_the_one_of_rank_offer(shop: Shop, cases: Cases) -> None:
    campaign = await shop.campaign()
    campaigns = [campaign, await shop.campaign(status="draft", goods=campaign.goods)]
    sold = (SOURCE, CHANNEL, campaign.goods[0].goods_id, None)
    hour = timedelta(hours=1)
    windows = [(NOW + begin * hour, NOW + (begin + 1) * hour) for begin in (-2, -1, 0, 1)]
    for placed, statuses in product(permutations(windows, 2), product(CampaignStatus, repeat=2)):
        async with cases.case() as case:
            for each, status, (starts_at, ends_at) in zip(campaigns, statuses, placed, strict=True):
                sql = "UPDATE campaigns SET (status, starts_at, ends_at) = ($2, $3, $4) WHERE campaign_id = $1"
                await case.conn.execute(sql, each.campaign_id, status, starts_at, ends_at)

            found = await read_offers(case.conn, *sold, NOW)

            ranks = [rank_offer(offer.status, offer.starts_at, offer.ends_at, NOW) for offer in found]
            assert ranks == sorted(ranks), (statuses, placed)
            assert choose_offer(found, NOW) is found[0]


# --- released seats ---


async def test_the_statement_that_releases_a_seat_moves_the_team_as_team_after_release_does(cases: Cases) -> None:
    for status, lock_count, was_paid in product(TeamStatus, range(1, TARGET + 1), (False, True)):
        async with cases.case() as case:
            await case.set_team(status, lock_count=lock_count, complete_count=int(was_paid))
            await case.set_order(OrderStatus.PAID if was_paid else OrderStatus.LOCKED)
            change = release.RETURNED if was_paid else release.CANCELLED
            values = () if was_paid else (CancelReason.BUYER,)

            sql = release.RELEASE_SEAT.format(change=change)
            row = await case.run(sql, case.member.order_id, NOW, int(was_paid), *values)

            expected = team_after_release(status, seats_left=lock_count - 1, was_paid=was_paid)
            assert row is not None
            assert row["status"] == expected, (status, lock_count, was_paid)
            team = await case.run("SELECT fail_reason FROM teams WHERE team_id = $1", case.member.team_id)
            assert team is not None
            newly_failed = expected is TeamStatus.FAILED and status is not TeamStatus.FAILED
            assert (team["fail_reason"] == "abandoned") is newly_failed


@pytest.mark.parametrize("grace", [0, GRACE])
async def test_the_statement_that_cancels_expired_orders_cancels_those_of_is_overdue(cases: Cases, grace: int) -> None:
    expiries = [moment - timedelta(seconds=seconds) for moment, seconds in product(BOUNDARY, (0, grace))]
    for (status, reason), expires_at in product(ORDERS, expiries):
        async with cases.case() as case:
            await case.set_team()
            await case.set_order(status, reason, expires_at)
            expired_by = NOW - timedelta(seconds=grace)

            cancelled = await case.conn.fetch(
                release.CANCEL_LOCKED, case.member.team_id, CancelReason.LOCK_TIMEOUT, NOW, expired_by, 2
            )

            expected = status is OrderStatus.LOCKED and is_overdue(expires_at, grace, NOW)
            assert (len(cancelled) == 1) is expected, (status, expires_at)


@pytest.mark.parametrize("lock_count", [1, TARGET - 1, TARGET])
async def test_the_lookup_of_a_request_reads_full_teams_and_kept_seats_as_the_rules_do(cases: Cases, lock_count: int) -> None:
    for expires_at in BOUNDARY:
        async with cases.case() as case:
            await case.set_team(lock_count=lock_count, deadline=NOW + timedelta(days=1))
            await case.set_order(OrderStatus.LOCKED, expires_at=expires_at)
            request = case.member.request
            names = (request.source, request.out_trade_no, request.team_id, request.user_id, request.goods_id)

            row = await case.run(queries.LOOKUP, *names, request.campaign_id, NOW - LAPSE_MEMORY, request.channel)

            assert row is not None
            has_seat = can_take_seat(TeamStatus.FORMING, row["deadline"], NOW, lock_count=lock_count, target_count=TARGET)
            assert row["full"] is not has_seat
            assert row["unpaid_until"] == keep_until(expires_at, GRACE)
