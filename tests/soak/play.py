"""A run: many stories side by side, faults among them, and an end that everything must come to by itself."""

import asyncio
import json
import random
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

import asyncpg

from tests.api.shop import Json
from tests.soak.history import Callback, History
from tests.soak.market import SHAPES, Market
from tests.soak.platform import SOURCE, Platform, becomes
from tests.soak.rows import DEAD, PROLONGED, Rows, left_under_way, read_tables
from tests.soak.stories import deck
from tests.soak.trouble import WHOLE_WITHIN, Trouble
from tests.soak.workflows import read_workflows

DEFECTS = ("a defect", "unexpected error", "background task failed", "Failed activation", "Exception in ASGI")
RESEND_EVERY = 5.0
OPERATIONS_PER_STORY = 8
"""so many more are to be expected of a story that is under way"""


@dataclass(frozen=True, kw_only=True)
class Scenario:
    seed: int
    operations: int
    faults: int
    kinds: tuple[str, ...]
    callers: int = 24
    """stories that run side by side"""
    tempo: int = 1
    settle_within: float = 90.0
    """seconds for everything to end after the last operation"""


@dataclass
class Run:
    platform: Platform
    scenario: Scenario
    report: Callable[[str], None] = lambda _: None
    violations: list[Json] = field(default_factory=list)
    invariants_asked: int = 0

    async def play(self) -> tuple[History, Rows]:
        scenario = self.scenario
        market = Market(self.platform, scenario.tempo)
        market.offers = {shape: await market.sell(shape) for shape in SHAPES}
        trouble = Trouble(market, random.Random(f"{scenario.seed}/faults"), list(scenario.kinds))  # noqa: S311
        async with asyncio.TaskGroup() as group:
            stories = group.create_task(self._tell_stories(market))
            group.create_task(self._make_trouble(market, trouble, stories))
            group.create_task(self._ask_invariants(stories))
        assert await becomes(self.platform.is_whole, WHOLE_WITHIN), "a part did not come back"
        began = time.monotonic()
        left = await self._settle(market)
        self.report(f"settled after {time.monotonic() - began:.1f} s; left: {left or 'nothing'}")
        return self._history(market, trouble), await self._rows()

    # --- the run ---

    async def _tell_stories(self, market: Market) -> None:
        """So many at a time, until so many operations were made."""
        told = 0
        cards = deck(self.scenario.seed, 0)
        running: set[asyncio.Task[None]] = set()
        while market.begun + OPERATIONS_PER_STORY * len(running) < self.scenario.operations:
            if not cards:
                cards = deck(self.scenario.seed, told)
            story, draw = cards.pop(), random.Random(f"{self.scenario.seed}/{told}")  # noqa: S311
            told += 1
            running.add(asyncio.create_task(story(market, draw), name=story.__name__))  # type: ignore[arg-type]
            if len(running) >= self.scenario.callers:
                running = await self._finished(running)
        while running:
            running = await self._finished(running)

    async def _finished(self, running: set[asyncio.Task[None]]) -> set[asyncio.Task[None]]:
        done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
        return running

    async def _make_trouble(self, market: Market, trouble: Trouble, stories: asyncio.Task[None]) -> None:
        """Spreads the faults over the operations."""
        while not stories.done() and len(trouble.faults) < self.scenario.faults:
            share = (len(trouble.faults) + 0.5) / self.scenario.faults
            if market.begun < share * self.scenario.operations:
                await asyncio.sleep(0.05)
                continue
            await trouble.strike()
            latest = trouble.faults[-1]
            self.report(f"{market.begun} operations, {len(trouble.faults)} faults; the latest: {latest.kind}")

    async def _ask_invariants(self, stories: asyncio.Task[None]) -> None:
        """They hold at any moment."""
        while not stories.done():
            await asyncio.sleep(1)
            await self._invariants()

    async def _invariants(self) -> None:
        async def ask(conn: asyncpg.Connection) -> None:
            found = await conn.fetch("SELECT invariant, subject, detail FROM groupbuy_invariants()")
            self.invariants_asked += 1
            self.violations += [dict(row) for row in found if dict(row) not in self.violations]

        with suppress(OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
            await self.platform.with_database(ask)

    # --- its end ---

    async def _settle(self, market: Market) -> Json:
        """Waits until nothing is under way; sends dead events again as an operator would. Returns what is left at last."""
        deadline, resent = time.monotonic() + self.scenario.settle_within, 0.0
        await self._close_prolonged_teams(market)
        while left := await self.platform.with_database(lambda conn: left_under_way(conn, SOURCE)):
            if time.monotonic() > deadline:
                return left
            if ("dead" in left or "refunds" in left) and time.monotonic() > resent + RESEND_EVERY:
                resent = time.monotonic()
                await self._resend_dead(market)
            await asyncio.sleep(0.2)
        return left

    async def _close_prolonged_teams(self, market: Market) -> None:
        for row in await self.platform.with_database(lambda conn: conn.fetch(PROLONGED, SOURCE)):
            await market.team_act({"team_id": row["team_id"]}, "close", tries=8)

    async def _resend_dead(self, market: Market) -> None:
        for row in await self.platform.with_database(lambda conn: conn.fetch(DEAD, SOURCE)):
            await market.resend(row["event_id"], by_mall=False)

    def _history(self, market: Market, trouble: Trouble) -> History:
        lines = self.platform.mall_file.read_text().splitlines() if self.platform.mall_file.exists() else []
        callbacks = tuple(Callback(**json.loads(line)) for line in lines)
        return History(tuple(market.operations), callbacks, tuple(trouble.faults))

    async def _rows(self) -> Rows:
        await self._invariants()
        tables = await self.platform.with_database(lambda conn: read_tables(conn, SOURCE))
        workflows = await read_workflows(self.platform.temporal, [team.team_id for team in tables["teams"]])
        return Rows(
            **tables,
            workflows=workflows,
            feed=tuple(await self._feed()),
            violations=tuple(self.violations),
            invariants_asked=self.invariants_asked,
            defects=tuple(self._defects()),
        )

    async def _feed(self) -> list[tuple[int, str]]:
        found: list[tuple[int, str]] = []
        while True:
            page = (await self.platform.mall.get("/v1/events", after=found[-1][0] if found else 0, limit=100)).ok()["data"]
            if not page:
                return found
            found += [(event["sequence"], event["event_id"]) for event in page]

    def _defects(self) -> list[str]:
        logs = [self.platform.part(name).log for name in ("api", *self.platform.workers)]
        return [line[:400] for log in logs for line in log.read_text().splitlines() if any(each in line for each in DEFECTS)]
