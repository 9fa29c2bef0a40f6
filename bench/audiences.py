"""Whether a user is in an audience, asked of ten million members."""

import asyncio
import random
import time
from dataclasses import dataclass
from datetime import UTC, datetime

import asyncpg

from bench.processes import BenchError
from bench.rounds import percentile
from db.audiences.imports import begin_import, finish_import
from db.audiences.store import is_member, save_audience
from db.core.connection import Database, connection

MEMBERS = 10_000_000
SEEDED_AT_ONCE = 1_000_000
ASKED = 20_000
CALLERS = (1, 16)
GOAL_MS = 1.0
AUDIENCE = "bench"
SEED = """
INSERT INTO audience_members (import_id, user_id)
SELECT $1, 'buyer-' || lpad(n::text, 9, '0') FROM generate_series($2::int, $3::int) AS n
"""


@dataclass(frozen=True)
class Asked:
    """Milliseconds of each answer, sorted."""

    what: str
    callers: int
    took: list[float]


async def measure(database_url: str, members: int) -> list[Asked]:
    """Whether users are members, every second of whom is; beside the barest question, for what the machine itself costs."""
    database = Database(database_url, size=max(CALLERS))
    try:
        await _seed(database, database_url, members)
        await _ask(database, members, 1)  # once over, as after the first minutes of a day
        asked = []
        for callers in CALLERS:
            asked.append(Asked("membership", callers, await _ask(database, members, callers)))
            asked.append(Asked("SELECT 1", callers, await _ask(database, 0, callers)))
        return asked
    finally:
        await database.close()


async def _seed(database: Database, database_url: str, members: int) -> None:
    now = datetime.now(UTC)
    await save_audience(database, AUDIENCE, "For the bench", by="bench", now=now)
    filling = await begin_import(database, AUDIENCE, None, by="bench", now=now)
    conn = await asyncpg.connect(database_url)  # of its own: a slice takes longer than a request may
    try:
        for begin in range(1, members + 1, SEEDED_AT_ONCE):
            await conn.execute(SEED, filling, begin, min(begin + SEEDED_AT_ONCE - 1, members))
        await conn.execute("VACUUM ANALYZE audience_members")
    finally:
        await conn.close()
    await finish_import(database, filling, now)


async def _ask(database: Database, members: int, callers: int) -> list[float]:
    luck = random.Random(callers)  # noqa: S311 - the same questions in every run
    took = []

    async def caller() -> None:
        for _ in range(ASKED // callers):
            number = luck.randint(1, 2 * members) if members else 0
            asked_at = time.perf_counter()
            answer = await (is_member(database, AUDIENCE, f"buyer-{number:09}") if members else _bare(database))
            took.append((time.perf_counter() - asked_at) * 1000)
            if answer is not (number <= members):
                raise BenchError(f"member {number} of {members}: {answer}")

    await asyncio.gather(*(caller() for _ in range(callers)))
    return sorted(took)


async def _bare(database: Database) -> bool:
    async with connection(database) as conn:
        return bool(await conn.fetchval("SELECT true"))


def summary(members: int, measured: list[Asked]) -> str:
    lines = [f"=== membership, {members:,} members, {ASKED:,} questions each ===", ""]
    for asked in measured:
        p50, p99 = (percentile(asked.took, percent) for percent in (50, 99))
        goal = f"  (goal {GOAL_MS:g})" if asked.what == "membership" and asked.callers == 1 else ""
        lines.append(f"{asked.callers:>2} at once, {asked.what:<10}  p50 {p50:.2f} ms, p99 {p99:.2f} ms{goal}")
    return "\n".join([*lines, ""])
