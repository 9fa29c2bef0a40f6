"""The faults of a soak: what can happen to a part, to a line between two, to a commit, and to a clock."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

import aiohttp
import asyncpg

from tests.soak.history import ENGINE_AWAY, Fault
from tests.soak.market import Market
from tests.soak.platform import Platform, becomes

WHOLE_WITHIN = 60.0
"""seconds after a fault within which every part works again"""
BREATH = 1.0
"""seconds for which the platform is left alone after a fault"""

CLOCK_STEPS = (-10 * 365 * 86400.0, -86400.0, -3600.0, 3600.0, 86400.0, 10 * 365 * 86400.0)
"""seconds: ten years, a day and an hour, into the past and the future"""

Break = Callable[["Trouble", float], Awaitable[None]]
"""Does harm for so many seconds."""


@dataclass
class Trouble:
    """Breaks things, one after the other and now and then two at once, and waits until the platform is whole again."""

    market: Market
    draw: random.Random
    kinds: list[str]
    first: list[str]
    """kinds that come before all others, also where faults are few"""
    faults: list[Fault] = field(default_factory=list)
    _cards: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._cards += reversed(self.first)

    @property
    def platform(self) -> Platform:
        return self.market.platform

    async def strike(self) -> list[Fault]:
        """One fault; one of four is joined by another."""
        chosen = [self._next()]
        if chosen[0] != ENGINE_AWAY and self.draw.random() < 0.25 and self._upcoming() != ENGINE_AWAY:
            chosen.append(self._next())
        began = time.time()
        await asyncio.gather(*(FAULTS[kind](self, self._seconds(kind)) for kind in chosen))
        ended = time.time()
        whole_at = time.time() if await becomes(self.platform.is_whole, WHOLE_WITHIN) else None
        struck = [Fault(kind=kind, began=began, ended=ended, whole_at=whole_at) for kind in chosen]
        self.faults += struck
        await asyncio.sleep(BREATH)
        return struck

    def _next(self) -> str:
        """Every kind comes as often as any other."""
        self._upcoming()
        return self._cards.pop()

    def _upcoming(self) -> str:
        if not self._cards:
            self._cards = [kind for kind in self.kinds if self._has_target(kind)]
            self.draw.shuffle(self._cards)
        return self._cards[-1]

    def _has_target(self, kind: str) -> bool:
        return "broker" in self.platform.own_parts or kind not in OF_THE_BROKER

    def _seconds(self, kind: str) -> float:
        if kind == ENGINE_AWAY:
            return self.draw.uniform(8.0, 10.0)  # locks that begin when it is known, and end before it is over
        return self.draw.uniform(0.4, 1.0) if kind.startswith("kill") else self.draw.uniform(0.5, 3.0)


def kill(part: str) -> Break:
    async def strike(trouble: Trouble, seconds: float) -> None:
        name = trouble.draw.choice(trouble.platform.workers) if part == "worker" else part
        before = trouble.platform.part(name).pid
        trouble.platform.kill(name)
        await asyncio.sleep(seconds)

        async def is_another() -> bool:
            return trouble.platform.part(name).pid not in {before, None}

        await becomes(is_another, WHOLE_WITHIN)

    return strike


def pause(part: str) -> Break:
    async def strike(trouble: Trouble, seconds: float) -> None:
        name = trouble.draw.choice(trouble.platform.workers) if part == "worker" else part
        with trouble.platform.paused(name):
            await asyncio.sleep(seconds)

    return strike


def cut(line: str) -> Break:
    """Connections break, all or some of them, several times."""

    async def strike(trouble: Trouble, seconds: float) -> None:
        for _ in range(3):
            await trouble.platform.lines[line].cut(trouble.draw.choice([0.5, 1.0]))
            await asyncio.sleep(seconds / 3)

    return strike


def unplug(line: str) -> Break:
    """No connection is left, and none is taken."""

    async def strike(trouble: Trouble, seconds: float) -> None:
        await trouble.platform.lines[line].close()
        try:
            await asyncio.sleep(seconds)
        finally:
            await trouble.platform.lines[line].open()

    return strike


def slow(line: str) -> Break:
    async def strike(trouble: Trouble, seconds: float) -> None:
        trouble.platform.lines[line].delay = trouble.draw.uniform(0.05, 0.4)
        try:
            await asyncio.sleep(seconds)
        finally:
            trouble.platform.lines[line].delay = 0.0

    return strike


def freeze(line: str) -> Break:
    """Nothing passes and nobody is told; then it passes late, or the connections break."""

    async def strike(trouble: Trouble, seconds: float) -> None:
        trouble.platform.lines[line].freeze()
        try:
            await asyncio.sleep(seconds)
        finally:
            if trouble.draw.random() < 0.5:
                await trouble.platform.lines[line].cut()
            trouble.platform.lines[line].thaw()

    return strike


async def stall_commits(trouble: Trouble, seconds: float) -> None:
    """Commits are written and not acknowledged, because a replica that nobody has is waited for; some of them for ever."""
    line = trouble.platform.lines["database"]
    async with _server_setting(trouble.platform, "synchronous_standby_names", "nobody"):
        await asyncio.sleep(seconds)
        if trouble.draw.random() < 0.5:
            await line.cut()


async def read_only(trouble: Trouble, seconds: float) -> None:
    """As after a failover: the server takes no writes, and then does again."""
    async with _server_setting(trouble.platform, "default_transaction_read_only", "on"):
        await asyncio.sleep(seconds)


async def stopped_backends(trouble: Trouble, seconds: float) -> None:
    """Some of PostgreSQL's processes stand still in the middle of what they do, with all the locks that they hold."""

    async def find(conn: asyncpg.Connection) -> list[int]:
        rows = await conn.fetch(
            "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
        )
        return [row["pid"] for row in rows]

    try:
        backends = await trouble.platform.with_database(find)
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
        backends = []
    with trouble.platform.paused_processes(trouble.draw.sample(backends, len(backends) // 2)):
        await asyncio.sleep(seconds)


async def held_rows(trouble: Trouble, seconds: float) -> None:
    """Somebody else's transaction holds the rows of half of the teams that are forming."""

    async def hold(conn: asyncpg.Connection) -> None:
        async with conn.transaction():
            await conn.execute(
                "SELECT FROM teams WHERE status = 'forming' AND hashtext(team_id) % 2 = 0 FOR UPDATE SKIP LOCKED"
            )
            await asyncio.sleep(seconds)

    with suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
        await trouble.platform.with_database(hold)


async def step_mall_clock(trouble: Trouble, seconds: float) -> None:
    """The mall's clock jumps: it takes every callback for a forgery, and dates its payments wrongly. Then it is set right."""
    step = trouble.draw.choice(CLOCK_STEPS)
    trouble.market.clock_step = step
    try:
        await _set_mall_clock(trouble.platform, step)
        await asyncio.sleep(seconds)
    finally:
        trouble.market.clock_step = 0.0
        await _set_mall_clock(trouble.platform, 0.0)


async def _set_mall_clock(platform: Platform, seconds: float) -> None:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)) as http:
        for _ in range(20):
            # A mall that is killed meanwhile comes back with its clock right.
            with suppress(aiohttp.ClientError, TimeoutError):
                async with http.post(f"{platform.mall_url}/clock", json={"seconds": seconds}) as response:
                    if response.status == 200:
                        return
            await asyncio.sleep(0.3)


@asynccontextmanager
async def _server_setting(platform: Platform, name: str, value: str) -> AsyncIterator[None]:
    """A setting of PostgreSQL, taken back however often that must be tried."""
    try:
        await _alter(platform, f"ALTER SYSTEM SET {name} = '{value}'")
        yield
    finally:
        assert await becomes(lambda: _alter(platform, f"ALTER SYSTEM RESET {name}"), WHOLE_WITHIN), f"{name} cannot be reset"


async def _alter(platform: Platform, sql: str) -> bool:
    async def change(conn: asyncpg.Connection) -> None:
        await conn.execute(sql)
        await conn.execute("SELECT pg_reload_conf()")

    try:
        await platform.with_database(change)
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
        return False
    return True


def _of(kinds: Iterable[tuple[str, Callable[[str], Break]]], targets: Iterable[str]) -> dict[str, Break]:
    return {f"{name} {target}": make(target) for name, make in kinds for target in targets}


FAULTS: dict[str, Break] = {
    **_of([("kill", kill), ("pause", pause)], ["worker", "api", "postgres", "temporal", "broker", "mall"]),
    **_of(
        [("cut", cut), ("unplug", unplug), ("slow", slow), ("freeze", freeze)],
        ["database", "temporal", "queue", "callbacks", "calls"],
    ),
    "stalled commits": stall_commits,
    "stopped backends": stopped_backends,
    "read-only database": read_only,
    "held rows": held_rows,
    "mall's clock": step_mall_clock,
    ENGINE_AWAY: pause("temporal"),
}
OF_THE_BROKER = frozenset(kind for kind in FAULTS if kind.split()[-1] in {"broker", "queue"})
QUICK = (
    "kill worker",
    "cut database",
    "freeze temporal",
    "stalled commits",
    "held rows",
    "mall's clock",
    "pause api",
    "kill mall",
)
"""Whose effects are over within seconds: for the run in `make test`."""
