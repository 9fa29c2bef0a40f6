"""A mall with buyers: calls the functions of db/ with defaults, and reads the rows behind them."""

import asyncio
import json
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import count
from typing import Any, TypeVar

import asyncpg

from db.audiences.imports import ImportProgress, add_members, begin_import, finish_import
from db.audiences.store import save_audience
from db.campaigns.goods import save_goods
from db.campaigns.store import create_campaign
from db.core.connection import INFRASTRUCTURE_FAILURES, Database, Row, connection, fetch_one
from db.orders.lock import lock_seat
from db.orders.release import release_overdue
from db.orders.settle import settle_payment
from db.refunds.open import open_refund
from db.refunds.steps import answer_refund, finish_refund, reject_refund, release_refund
from db.settings.malls import MallRecord, save_mall
from db.teams.conclude import conclude_team
from domain.errors import ErrorCode, Refusal
from domain.ids import order_id, team_id
from domain.lifecycle import CampaignStatus, MallAnswer, OrderStatus, TeamDecision
from domain.messages.acts import Act
from domain.messages.acts import command_line_author as author
from domain.messages.callbacks import Address
from domain.messages.orders import (
    HeldSeat,
    LockSeat,
    PaymentReport,
    ReleaseOverdue,
    SeatRequest,
    SettledPayment,
    SettlePayment,
)
from domain.messages.refunds import ChangeRefund, OpenRefund, RefundAction, RefundState
from domain.messages.teams import ConcludedTeam, ConcludeTeam, TeamAnswer
from domain.pricing import Discount, DiscountPlan
from domain.schemas.campaigns import Campaign, CampaignGoods, NewCampaign
from domain.schemas.goods import Goods
from tests.acts import act_of

Answer = TypeVar("Answer")

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
SOURCE, CHANNEL = "s01", "c01"
PRICE, PAY_PRICE = Decimal("100.00"), Decimal("80.00")
LOCK_TTL, GRACE, TEAM_TTL = 900, 30, 86400
WINDOW_OVER = NOW + timedelta(seconds=LOCK_TTL)
OVERDUE = WINDOW_OVER + timedelta(seconds=GRACE)
"""when an unpaid order that was locked at NOW is released"""
DEADLINE = NOW + timedelta(seconds=TEAM_TTL)
SHOP_ADDRESS = Address(kind="http", address="http://127.0.0.1:9/callbacks")


@dataclass(frozen=True, eq=False)
class Member:
    """A buyer's request for a seat in a team, and the order of that request if there is one."""

    campaign: Campaign
    request: SeatRequest

    @property
    def number(self) -> str:
        return self.request.out_trade_no

    @property
    def team_id(self) -> str:
        return self.request.team_id

    @property
    def order_id(self) -> str:
        return order_id(self.request.source, self.number)

    def with_request(self, **changes: Any) -> "Member":  # noqa: ANN401
        return replace(self, request=self.request.model_copy(update=changes))


MAX_HEAD_START = 3


class Shop:
    def __init__(self, database: Database) -> None:
        self.database = database
        self.deadlocks = 0
        self._numbers = count(1)
        self._random = random.Random(20260501)  # noqa: S311 - the same races in every run

    async def open(self) -> None:
        await save_mall(self.database, MallRecord(SOURCE, "Test mall", None, ("127.0.0.1",), ("whsec_dGVzdHM=",), local=True))

    # --- goods, campaigns and buyers ---

    async def goods(self) -> str:
        goods_id = self.fresh("g")
        await save_goods(
            self.database, Goods(goods_id=goods_id, name="Book", original_price=PRICE), by=author("tests"), now=NOW
        )
        return goods_id

    async def campaign(self, **fields: Any) -> Campaign:  # noqa: ANN401
        """Creates an active campaign, by default with goods of its own."""
        defaults: dict[str, Any] = {
            "name": "Read together",
            "status": CampaignStatus.ACTIVE,
            "starts_at": NOW - timedelta(days=1),
            "ends_at": NOW + timedelta(days=30),
            "discount": Discount(plan=DiscountPlan.CUT, expr="20"),
            "target_count": 3,
        }
        if "goods" not in fields:
            defaults["goods"] = [CampaignGoods(source=SOURCE, channel=CHANNEL, goods_id=await self.goods())]
        return await create_campaign(self.database, NewCampaign(**defaults | fields), by=author("tests"), now=NOW)

    async def audience(self, audience_id: str, *members: str) -> None:
        """Saves an audience and imports these members; without members there is no import."""
        await save_audience(self.database, audience_id, audience_id, by=author("tests"), now=NOW)
        if members:
            import_id = await begin_import(self.database, audience_id, None, by=author("tests"), now=NOW)
            progress = ImportProgress(len(members), len(members), 0, ())
            await add_members(self.database, import_id, set(members), progress, NOW)
            await finish_import(self.database, import_id, NOW)

    def fresh(self, prefix: str) -> str:
        return f"{prefix}{next(self._numbers)}"

    def opener(self, campaign: Campaign, *, user: str = "", number: str = "", callback: Address | None = None) -> Member:
        number = number or self.fresh("n")
        request = SeatRequest(
            source=SOURCE,
            out_trade_no=number,
            user_id=user or self.fresh("u"),
            goods_id=campaign.goods[0].goods_id,
            channel=CHANNEL,
            team_id=team_id(SOURCE, number),
            opens_team=True,
            callback=callback,
        )
        return Member(campaign, request)

    def joiner(self, of: Member, *, user: str = "", number: str = "", callback: Address | None = None) -> Member:
        """A buyer who requests a seat in the team of that member."""
        return of.with_request(
            out_trade_no=number or self.fresh("n"), user_id=user or self.fresh("u"), opens_team=False, callback=callback
        )

    async def team(
        self, campaign: Campaign, *, locked: int = 1, paid: int = 0, callback: Address | None = None
    ) -> list[Member]:
        """Creates a team with this many paid and locked members, and returns them, the paid ones first."""
        members = [self.opener(campaign, callback=callback)]
        members += [self.joiner(members[0], callback=callback) for _ in range(locked + paid - 1)]
        for member in members:
            await self.lock(member)
        for member in members[:paid]:
            await self.settle(member)
        return members

    # --- orders ---

    async def lock(self, member: Member, now: datetime = NOW) -> HeldSeat:
        return await lock_seat(self.database, LockSeat(request=member.request, now=now))

    async def try_lock(self, member: Member, now: datetime = NOW) -> HeldSeat | ErrorCode:
        try:
            return await self.lock(member, now)
        except Refusal as refusal:
            return refusal.code

    async def settle(self, member: Member, amount: Decimal = PAY_PRICE, now: datetime = NOW) -> SettledPayment:
        return await settle_payment(self.database, payment_of(member, amount, now))

    async def try_settle(self, member: Member, amount: Decimal = PAY_PRICE, now: datetime = NOW) -> SettledPayment | ErrorCode:
        try:
            return await self.settle(member, amount, now)
        except Refusal as refusal:
            return refusal.code

    async def release(self, of: Member, now: datetime = OVERDUE, numbers: Sequence[str] = ()) -> TeamAnswer:
        return await release_overdue(self.database, ReleaseOverdue(team_id=of.team_id, now=now, out_trade_nos=list(numbers)))

    async def conclude(self, of: Member, decision: TeamDecision, now: datetime = DEADLINE) -> ConcludedTeam:
        return await conclude_team(self.database, ConcludeTeam(team_id=of.team_id, decision=decision, now=now))

    # --- refunds ---

    async def refund(
        self,
        member: Member,
        now: datetime = NOW,
        *,
        operator: str = "",
        act: Act | None = None,
        **fields: Any,  # noqa: ANN401
    ) -> RefundState:
        act = act or (act_of(operator) if operator else None)
        return await open_refund(self.database, OpenRefund(order_id=member.order_id, now=now, act=act, **fields))

    async def try_refund(self, member: Member, now: datetime = NOW, **fields: Any) -> RefundState | ErrorCode:  # noqa: ANN401
        try:
            return await self.refund(member, now, **fields)
        except Refusal as refusal:
            return refusal.code

    async def answer(self, member: Member, answer: MallAnswer, attempt: int = 1) -> RefundState:
        """Answers for the mall as an operator, and executes the answer that holds (the first one)."""
        change = ChangeRefund(order_id=member.order_id, attempt=attempt, now=NOW, answer=answer)
        await answer_refund(self.database, change)
        released = await release_refund(self.database, change)
        return released if released.released else await reject_refund(self.database, change)

    async def finish(self, member: Member, attempt: int = 1) -> RefundState:
        """Finishes the refund as an operator who states that the mall was told."""
        action = RefundAction.CLOSE_MANUALLY
        change = ChangeRefund(order_id=member.order_id, attempt=attempt, now=NOW, action=action, act=act_of())
        return await finish_refund(self.database, change)

    # --- concurrency ---

    async def race(self, *runners: Awaitable[Answer]) -> list[Answer]:
        """Runs all of them at the same time, and returns their answers in the order given.

        Order and head starts differ from race to race; otherwise the runner with the fewest statements would always win.
        """

        async def run(runner: Awaitable[Answer], statements: int) -> Answer:
            for _ in range(statements):
                await self.value("SELECT 1")
            return await runner

        behind = range(min(len(runners), MAX_HEAD_START))
        started = {
            index: asyncio.ensure_future(run(runners[index], self._random.choice(behind) * 2))
            for index in self._random.sample(range(len(runners)), len(runners))
        }
        await asyncio.wait(started.values())
        if failures := [failure for future in started.values() if isinstance(failure := future.exception(), Exception)]:
            raise failures[0] if len(failures) == 1 else ExceptionGroup("several runners failed", failures)
        return [started[index].result() for index in range(len(runners))]

    async def retried(self, transaction: Callable[[], Awaitable[Answer]]) -> Answer:
        """Retries and counts deadlocks, which Temporal retries; any other infrastructure failure is an error of the test."""
        while True:
            try:
                return await transaction()
            except asyncpg.DeadlockDetectedError:
                self.deadlocks += 1
            except INFRASTRUCTURE_FAILURES as failure:
                raise AssertionError("the database does not fail in these tests") from failure

    async def until_waiting(self, transactions: int) -> None:
        """Returns when this many transactions wait for a lock."""
        async with asyncio.timeout(20):
            while await self.value("SELECT count(DISTINCT pid) FROM pg_locks WHERE NOT granted") < transactions:
                pass

    async def block(self, source: str = SOURCE, channel: str = CHANNEL) -> None:
        """Blocks this channel of the mall."""
        await self.switch("blocked", [{"source": source, "channel": channel}])

    async def switch(self, name: str, value: object) -> None:
        await self.execute(
            "INSERT INTO switches (name, value, version, changed_by, changed_at) VALUES ($1, $2, 1, 'tests', $3)"
            " ON CONFLICT (name) DO UPDATE SET value = excluded.value",
            name,
            json.dumps(value),
            NOW,
        )

    # --- rows ---

    async def execute(self, sql: str, *values: object) -> None:
        async with connection(self.database) as conn:
            await conn.execute(sql, *values)

    async def rows(self, sql: str, *values: object) -> list[Row]:
        async with connection(self.database) as conn:
            return await conn.fetch(sql, *values)

    async def value(self, sql: str, *values: object) -> Any:  # noqa: ANN401
        async with connection(self.database) as conn:
            return await conn.fetchval(sql, *values)

    async def team_row(self, of: Member) -> Row:
        async with connection(self.database) as conn:
            return await fetch_one(conn, "SELECT * FROM teams WHERE team_id = $1", of.team_id)

    async def order_row(self, of: Member) -> Row:
        async with connection(self.database) as conn:
            return await fetch_one(conn, "SELECT * FROM orders WHERE order_id = $1", of.order_id)

    async def refund_row(self, of: Member) -> Row:
        async with connection(self.database) as conn:
            return await fetch_one(conn, "SELECT * FROM refunds WHERE order_id = $1 ORDER BY attempt DESC LIMIT 1", of.order_id)

    async def event_types(self, of: Member) -> list[str]:
        rows = await self.rows("SELECT type FROM events WHERE team_id = $1 ORDER BY event_no", of.team_id)
        return [row["type"] for row in rows]

    async def live_of(self, campaign: Campaign, user: str) -> int:
        live = await self.value(
            "SELECT live FROM user_quotas WHERE campaign_id = $1 AND user_id = $2", campaign.campaign_id, user
        )
        return int(live or 0)


def payment_of(member: Member, amount: Decimal = PAY_PRICE, now: datetime = NOW, request_id: str = "") -> SettlePayment:
    report = PaymentReport(
        source=member.request.source,
        out_trade_no=member.number,
        order_id=member.order_id,
        team_id=member.team_id,
        amount=amount,
        paid_at=now,
        request_id=request_id,
    )
    return SettlePayment(report=report, now=now)


def cancelled(answer: TeamAnswer) -> list[str]:
    """The out_trade_nos that an answer says are cancelled."""
    return [seat.out_trade_no for seat in answer.seats if seat.status is OrderStatus.CANCELLED]
