"""A bounded load: teams of three, opened, joined and paid by several callers at once, whatever is killed meanwhile."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime
from time import monotonic
from typing import TypeVar

from pydantic import BaseModel, JsonValue

from cli.demo.client import JourneyError, NoAnswerError, RefusedError
from cli.demo.receiving_mall import ReceivingMall
from cli.demo.schemas import Order, Payment
from cli.demo.session import CHANNEL, Session

CALLERS = 16
TEAM = 3
REPEAT_WITHIN = 60.0
"""seconds, until a request must have an answer that is no `temporarily_unavailable`"""
REPEAT_AFTER = 0.5
SETTLE_WITHIN = 120.0
"""seconds, until the mall must have received what every team has come to"""

AnswerT = TypeVar("AnswerT", bound=BaseModel)


class Load:
    def __init__(self, session: Session, mall: ReceivingMall, teams: int) -> None:
        self._session = session
        self._api = replace(session.api, attempts=1)
        self._mall = mall
        self._teams = iter(range(teams))
        self._count = teams
        self._seconds: list[float] = []
        self._repeats = 0
        self._team_ids: set[str] = set()

    async def play(self) -> None:
        narrator = self._session.narrator
        await narrator.step(f"Load: {self._count} teams of {TEAM}, by {CALLERS} callers at once")
        began = monotonic()
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(min(CALLERS, self._count)):
                    group.create_task(self._caller())
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from None
        await narrator.step(f"Load: {self._summary(monotonic() - began)}; the mall is told of every team")
        await self._until_told()

    def _summary(self, took: float) -> str:
        ordered = sorted(self._seconds)
        median, slow = (1000 * ordered[int(part * (len(ordered) - 1))] for part in (0.5, 0.99))
        calls = f"{len(ordered)} calls, {len(ordered) / took:.0f}/s"
        return f"{calls}, median {median:.0f} ms, 99 % within {slow:.0f} ms, {self._repeats} repeated"

    async def _caller(self) -> None:
        for number in self._teams:
            opener = await self._lock(f"load-{number}-1", None)
            orders = [opener, *[await self._lock(f"load-{number}-{seat}", opener.team_id) for seat in range(2, TEAM + 1)]]
            self._team_ids.add(opener.team_id)
            for order in orders:
                await self._pay(order)

    async def _lock(self, name: str, team_id: str | None) -> Order:
        session = self._session
        request: dict[str, JsonValue] = {
            "out_trade_no": f"{session.shop.name}-{session.run}-{name}",
            "user_id": session.user(name),
            "goods_id": session.goods_id,
            "channel": CHANNEL,
            "team_id": team_id,
        }
        return await self._persist(lambda: self._call(Order, "/v1/orders", request))

    async def _pay(self, order: Order) -> None:
        report: dict[str, JsonValue] = {"amount": str(order.pay_price), "paid_at": datetime.now(UTC).isoformat()}
        payment = await self._persist(lambda: self._call(Payment, f"/v1/orders/{order.out_trade_no}/payment", report))
        if payment.outcome != "settled":
            raise JourneyError(f"the payment of {order.out_trade_no} was {payment.outcome}, {payment.reason}")

    async def _call(self, expected: type[AnswerT], path: str, body: dict[str, JsonValue]) -> AnswerT:
        return (await self._api.call(expected, "POST", path, body)).body

    async def _persist(self, request: Callable[[], Awaitable[AnswerT]]) -> AnswerT:
        """Repeats the same request until its outcome is known, as a mall does."""
        began = monotonic()
        while True:
            sent = monotonic()
            try:
                answer = await request()
            except (NoAnswerError, RefusedError) as error:
                known = isinstance(error, RefusedError) and error.problem.code != "temporarily_unavailable"
                if known or monotonic() - began > REPEAT_WITHIN:
                    raise
            else:
                self._seconds.append(monotonic() - sent)
                return answer
            self._repeats += 1
            await asyncio.sleep(REPEAT_AFTER)

    async def _until_told(self) -> None:
        """Waits until the mall has received `team.completed` of every team."""

        async def untold() -> set[str]:
            self._mall.require_verified()
            told = {callback.data.get("team_id") for callback in self._mall.received if callback.type == "team.completed"}
            return self._team_ids - told

        await self._session.until(
            "team.completed of every team", untold, lambda missing: not missing, wait_timeout=SETTLE_WITHIN
        )
