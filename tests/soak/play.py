"""A run: many stories side by side, faults among them, and an end that everything must come to by itself."""

import asyncio
import json
import random
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime

import asyncpg

from tests.api.shop import Json
from tests.soak.history import Callback, Fault, History
from tests.soak.market import SHAPES, Market
from tests.soak.platform import SOURCE, Platform, becomes
from tests.soak.rows import DEAD, PROLONGED, QUEUED_EVENTS, Rows, left_under_way, read_tables
from tests.soak.stories.deck import deck
from tests.soak.stories.teams import Story
from tests.soak.trouble import WHOLE_WITHIN, Trouble
from tests.soak.workflows import read_workflows

DEFECTS = ("a defect", "unexpected error", "background task failed", "Failed activation", "Exception in ASGI")
RESEND_EVERY = 5.0
AHEAD = 2
"""faults by which the operations may be ahead"""
OPERATIONS_PER_STORY = 8
"""so many more are to be expected of a story that is under way"""


@dataclass(frozen=True, kw_only=True)
class Scenario:
    seed: int
    operations: int
    faults: int
    kinds: tuple[str, ...]
    first_kinds: tuple[str, ...] = ()
    """which come also where faults are few"""
    callers: int = 24
    """stories that run side by side"""
    tempo: int = 1
    slow_stories: bool = False
    settle_within: float = 90.0
    """seconds for everything to end after the last operation"""


@dataclass
class Run:
    platform: Platform
    scenario: Scenario
    report: Callable[[str], None] = lambda _: None
    _told: int = 0
    _cards: list[Story] = field(default_factory=list)
    _violations: list[Json] = field(default_factory=list)
    _invariants_asked: int = 0

    def __post_init__(self) -> None:
        self._market = Market(self.platform, self.scenario.tempo)
        draw = random.Random(f"{self.scenario.seed}/faults")  # noqa: S311 - it is to be repeatable
        self._trouble = Trouble(self._market, draw, list(self.scenario.kinds), list(self.scenario.first_kinds))

    async def play(self) -> tuple[History, Rows]:
        self._market.offers = {shape: await self._market.sell(shape) for shape in SHAPES}
        return await self.go_on(self.scenario.operations, self.scenario.faults)

    async def go_on(self, operations: int, faults: int = 0) -> tuple[History, Rows]:
        """So many more."""
        began = self._market.begun
        async with asyncio.TaskGroup() as group:
            stories = group.create_task(self._tell_stories(began + operations))
            group.create_task(self._make_trouble(stories, began, operations, faults))
            group.create_task(self._ask_invariants(stories))
        assert await becomes(self.platform.is_whole, WHOLE_WITHIN), "a part did not come back"
        settling = time.monotonic()
        left = await self._settle()
        self.report(f"settled after {time.monotonic() - settling:.1f} s; left: {left or 'nothing'}")
        return self._history(), await self._rows()

    # --- the run ---

    async def _tell_stories(self, until: int) -> None:
        """So many at a time, until so many operations were made."""
        market, running = self._market, 0
        slots = asyncio.Semaphore(self.scenario.callers)

        async def tell(story: Story, draw: random.Random) -> None:
            nonlocal running
            running += 1
            try:
                await story(market, draw)
            finally:
                running -= 1
                slots.release()

        async with asyncio.TaskGroup() as group:
            while market.begun < until:
                if (running and market.begun + OPERATIONS_PER_STORY * running >= until) or self._is_ahead_of_faults():
                    await asyncio.sleep(0.1)
                    continue
                await slots.acquire()
                self._cards = self._cards or deck(self.scenario.seed, self._told, slow=self.scenario.slow_stories)
                draw = random.Random(f"{self.scenario.seed}/{self._told}")  # noqa: S311 - it is to be repeatable
                group.create_task(tell(self._cards.pop(), draw))
                self._told += 1

    def _is_ahead_of_faults(self) -> bool:
        """The faults are spread over the operations: these wait where a part takes its time to come back."""
        share = (len(self._trouble.faults) + AHEAD) / max(self.scenario.faults, 1)
        return share < 1 and self._market.begun > self.scenario.operations * share

    async def _make_trouble(self, stories: asyncio.Task[None], began: int, operations: int, faults: int) -> None:
        """Spreads the faults over the operations."""
        trouble, before = self._trouble, len(self._trouble.faults)
        while not stories.done() and (done := len(trouble.faults) - before) < faults:
            if self._market.begun - began < operations * (done + 0.5) / faults:
                await asyncio.sleep(0.05)
                continue
            for fault in await trouble.strike():
                self.report(f"{_clock(fault.began)} {_told(fault)}")
            self.report(f"{_clock(time.time())} {self._market.begun} operations, {len(trouble.faults)} faults")

    async def _ask_invariants(self, stories: asyncio.Task[None]) -> None:
        """They hold at any moment."""
        while not stories.done():
            await asyncio.sleep(1)
            await self._invariants()

    async def _invariants(self) -> None:
        async def ask(conn: asyncpg.Connection) -> None:
            found = await conn.fetch("SELECT invariant, subject, detail FROM groupbuy_invariants()")
            self._invariants_asked += 1
            self._violations += [dict(row) for row in found if dict(row) not in self._violations]

        with suppress(OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
            await self.platform.with_database(ask)

    # --- its end ---

    async def _settle(self) -> Json:
        """Waits until nothing is under way; sends dead events again as an operator would. Returns what is left at last."""
        deadline, resent = time.monotonic() + self.scenario.settle_within, 0.0
        await self._close_prolonged_teams()
        while left := await self._left():
            if time.monotonic() > deadline:
                return left
            if ("dead" in left or "refunds" in left) and time.monotonic() > resent + RESEND_EVERY:
                resent = time.monotonic()
                await self._resend_dead()
            await asyncio.sleep(0.2)
        return left

    async def _left(self) -> Json:
        """What is under way, in the rows or between the broker and the mall."""
        if left := await self.platform.with_database(lambda conn: left_under_way(conn, SOURCE)):
            return left
        sent = await self.platform.with_database(lambda conn: conn.fetch(QUEUED_EVENTS, SOURCE))
        taken = {callback.event_id for callback in self._callbacks() if callback.way == "amqp"}
        queued = sum(row["event_id"] not in taken for row in sent)
        return {"queued": queued} if queued else {}

    async def _close_prolonged_teams(self) -> None:
        for row in await self.platform.with_database(lambda conn: conn.fetch(PROLONGED, SOURCE)):
            await self._market.team_act({"team_id": row["team_id"]}, "close", tries=8)

    async def _resend_dead(self) -> None:
        for row in await self.platform.with_database(lambda conn: conn.fetch(DEAD, SOURCE)):
            await self._market.resend(row["event_id"], by_mall=False)

    def _history(self) -> History:
        return History(tuple(self._market.operations), self._callbacks(), tuple(self._trouble.faults))

    def _callbacks(self) -> tuple[Callback, ...]:
        lines = self.platform.mall_file.read_text().splitlines() if self.platform.mall_file.exists() else []
        return tuple(Callback(**json.loads(line)) for line in lines)

    async def _rows(self) -> Rows:
        await self._invariants()
        tables = await self.platform.with_database(lambda conn: read_tables(conn, SOURCE))
        workflows = await read_workflows(self.platform.temporal, [team.team_id for team in tables["teams"]])
        return Rows(
            **tables,
            workflows=workflows,
            feed=tuple(await self._feed()),
            violations=tuple(self._violations),
            invariants_asked=self._invariants_asked,
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


def _told(fault: Fault) -> str:
    whole = f"whole {fault.whole_at - fault.began:.1f} s after it began" if fault.whole_at else "A PART STAYED AWAY"
    return f"{fault.kind} for {fault.ended - fault.began:.1f} s, {whole}"


def _clock(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%H:%M:%S")
