"""A stack under a crowd: its campaigns, what became of them in its rows, and its way of admission."""

import asyncio
import re
import secrets
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Self

import asyncpg

from bench.api_client import TEAM_SIZE, ApiClient, Json
from bench.arrivals import Answers, post
from bench.driver import RunningStack
from bench.http_client import HttpClient
from bench.processes import OTHERS, BenchError, Meter

POLL_EVERY = 0.25
TAKEN_OVER_WITHIN = 120.0
CALM_WITHIN = 60.0
CALM_TEAM = 3.0
"""seconds in which a team is played where nothing else is under way: half a second for each of its requests"""
CALM_TEAMS = 3
INVARIANTS_WITHIN = 20

WAKEUPS = "SELECT count(*) FROM team_wakeups"
COUNT = "SELECT count(*) AS teams, COALESCE(sum(lock_count), 0) AS seats FROM teams WHERE campaign_id = $1"
COMPLETED = "SELECT team_id FROM teams WHERE campaign_id = $1 AND status = 'completed'"
ADMISSION = re.compile(r'^groupbuy_admissions_total\{call="\w+",reason="(\w*)",way="(\w+)"\} (\S+)$', re.MULTILINE)


@dataclass(frozen=True)
class Ways:
    """How many locks and payments went which way in."""

    orchestrated: int
    direct: Counter[str] = field(default_factory=Counter)
    """by reason"""

    def since(self, before: Self) -> "Ways":
        return Ways(self.orchestrated - before.orchestrated, self.direct - before.direct)

    def __str__(self) -> str:
        reasons = ", ".join(f"{reason} {count}" for reason, count in self.direct.most_common())
        return f"{self.orchestrated} orchestrated, {self.direct.total()} direct" + (f" ({reasons})" if reasons else "")

    def as_json(self) -> Json:
        return {"orchestrated": self.orchestrated, "direct": dict(self.direct)}


def parse_ways(metrics: str) -> Ways:
    """Reads what the API's metrics count since its start."""
    counts: Counter[tuple[str, str]] = Counter()
    for reason, way, value in ADMISSION.findall(metrics):
        counts[way, reason] += int(float(value))
    direct = Counter({reason: count for (way, reason), count in counts.items() if way == "direct"})
    return Ways(counts.total() - direct.total(), direct)


class Crowd:
    def __init__(self, stack: RunningStack, database: "asyncpg.Connection[Any]", meter: Meter) -> None:
        self.http = HttpClient(stack.api_url, stack.mall_key, *stack.more_api_urls)
        self.meter = meter
        self._ops = ApiClient(stack.api_url, stack.ops_key)
        self._mall = ApiClient(stack.api_url, stack.mall_key, *stack.more_api_urls)
        self._metrics = [HttpClient(url, stack.ops_key) for url in (stack.api_url, *stack.more_api_urls)]
        self._database = database

    async def offer(self, target_count: int, **fields: int) -> Json:
        """Creates a campaign of its own for one measurement, which begins when the platform is calm."""
        await self._until_calm()
        return await self._ops.create_campaign(f"bench-crowd-{secrets.token_hex(4)}", target_count, **fields)

    async def open_connections(self, count: int) -> None:
        """What is measured is the market, not how quickly it accepts connections."""
        await asyncio.gather(*(self.http.send("GET", "/healthz") for _ in range(count)))

    async def lock(
        self, number: str, offer: Json, answers: Answers, team_id: str | None = None, due: float | None = None
    ) -> Json | None:
        """`number` is the order's out_trade_no and the buyer's user_id."""
        body = offer | {"out_trade_no": number, "user_id": number} | ({"team_id": team_id} if team_id else {})
        return await post(self.http, "/v1/orders", body, answers, due)

    async def pay(self, order: Json, answers: Answers, due: float | None = None) -> Json | None:
        """The right amount."""
        payment = {"amount": order["pay_price"], "paid_at": order["locked_at"]}
        return await post(self.http, f"/v1/orders/{order['out_trade_no']}/payment", payment, answers, due)

    async def ways(self) -> Ways:
        """Since the start of the API, of all its processes together."""
        return parse_ways("".join([await each.text("/metrics") for each in self._metrics]))

    async def count(self, offer: Json) -> tuple[int, int]:
        """Returns teams and live seats of the campaign, by the rows."""
        row = await self._database.fetchrow(COUNT, offer["campaign_id"])
        assert row is not None
        return row["teams"], row["seats"]

    async def completed(self, offer: Json) -> set[str]:
        return {row["team_id"] for row in await self._database.fetch(COMPLETED, offer["campaign_id"])}

    async def wakeups(self) -> int:
        count: int = await self._database.fetchval(WAKEUPS)
        return count

    async def until_taken_over(self, began: float) -> float | None:
        """Returns the seconds since `began` (of time.perf_counter) until no wake-up is left; None: after TAKEN_OVER_WITHIN."""
        while await self.wakeups():
            if time.perf_counter() - began > TAKEN_OVER_WITHIN:
                return None
            await asyncio.sleep(POLL_EVERY)
        return time.perf_counter() - began

    async def violations(self) -> list[Json]:
        found: list[Json] = (await self._ops.get(f"/v1/ops/invariants?within={INVARIANTS_WITHIN}"))["violations"]
        return found

    async def _until_calm(self) -> None:
        """Plays teams until some in a row were quick, and waits until no wake-up is left of them and of earlier measurements.

        Raises:
            BenchError: that took longer than CALM_WITHIN.
        """
        offer = await self._ops.create_campaign(f"bench-calm-{secrets.token_hex(4)}", TEAM_SIZE)
        quick = 0
        try:
            async with asyncio.timeout(CALM_WITHIN):
                while quick < CALM_TEAMS:
                    sent_at = time.perf_counter()
                    await self._mall.complete_team(f"calm-{secrets.token_hex(6)}", offer)
                    quick = quick + 1 if time.perf_counter() - sent_at < CALM_TEAM else 0
                await self.until_taken_over(time.perf_counter())
        except TimeoutError:
            raise BenchError(f"the platform was not calm within {CALM_WITHIN:g} s") from None


@asynccontextmanager
async def crowd(stack: RunningStack) -> AsyncIterator[Crowd]:
    database: asyncpg.Connection[Any] = await asyncpg.connect(stack.database_url)
    try:
        yield Crowd(stack, database, Meter(stack.pids()))
    finally:
        await database.close()


def cpu_cells(cpu: dict[str, float]) -> str:
    """CPU seconds by process, of those that used any."""
    used = (f"{name} {seconds:.1f}" for name, seconds in cpu.items() if name != OTHERS and seconds >= 0.05)
    return f"{', '.join(used)}; others on this machine {cpu[OTHERS]:.1f}"


def codes_cell(codes: Counter[str]) -> str:
    return ", ".join(f"{count} × {code}" for code, count in codes.most_common()) or "none"
