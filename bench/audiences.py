"""How long it takes to find out whether a user is in an audience of ten million members."""

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
from domain.messages.acts import command_line_author

MEMBERS = 10_000_000
BATCH = 1_000_000
QUERIES = 20_000
CALLERS = (1, 16)
GOAL_MS = 1.0
AUTHOR = command_line_author("bench")
AUDIENCE = "bench"
INSERT_MEMBERS = """
INSERT INTO audience_members (import_id, user_id)
SELECT $1, 'buyer-' || lpad(n::text, 9, '0') FROM generate_series($2::int, $3::int) AS n
"""


@dataclass(frozen=True)
class Latencies:
    query: str
    callers: int
    ms: list[float]
    """sorted"""


async def measure(database_url: str, members: int) -> list[Latencies]:
    """Asks for users of whom every second is a member, and for `SELECT 1`, which shows what the machine itself costs."""
    database = Database(database_url, size=max(CALLERS))
    try:
        await _seed(database, database_url, members)
        await _query(database, members, 1)  # fills the caches of the database
        measured = []
        for callers in CALLERS:
            measured.append(Latencies("membership", callers, await _query(database, members, callers)))
            measured.append(Latencies("SELECT 1", callers, await _query(database, 0, callers)))
        return measured
    finally:
        await database.close()


async def _seed(database: Database, database_url: str, members: int) -> None:
    now = datetime.now(UTC)
    await save_audience(database, AUDIENCE, "For the bench", by=AUTHOR, now=now)
    import_id = await begin_import(database, AUDIENCE, None, by=AUTHOR, now=now)
    conn = await asyncpg.connect(database_url)  # not from the pool: a batch takes longer than its statement timeout
    try:
        for begin in range(1, members + 1, BATCH):
            await conn.execute(INSERT_MEMBERS, import_id, begin, min(begin + BATCH - 1, members))
        await conn.execute("VACUUM ANALYZE audience_members")
    finally:
        await conn.close()
    await finish_import(database, import_id, now)


async def _query(database: Database, members: int, callers: int) -> list[float]:
    """Returns sorted latencies in milliseconds; with 0 members, those of `SELECT 1`."""
    rng = random.Random(callers)  # noqa: S311 - the same queries in every run
    latencies = []

    async def caller() -> None:
        for _ in range(QUERIES // callers):
            number = rng.randint(1, 2 * members) if members else 0
            sent_at = time.perf_counter()
            answer = await (is_member(database, AUDIENCE, f"buyer-{number:09}") if members else _select_1(database))
            latencies.append((time.perf_counter() - sent_at) * 1000)
            if answer is not (number <= members):
                raise BenchError(f"member {number} of {members}: {answer}")

    await asyncio.gather(*(caller() for _ in range(callers)))
    return sorted(latencies)


async def _select_1(database: Database) -> bool:
    async with connection(database) as conn:
        return bool(await conn.fetchval("SELECT true"))


def summary(members: int, measured: list[Latencies]) -> str:
    lines = [f"=== membership, {members:,} members, {QUERIES:,} queries each ===", ""]
    for each in measured:
        p50, p99 = (percentile(each.ms, percent) for percent in (50, 99))
        goal = f"  (goal {GOAL_MS:g})" if each.query == "membership" and each.callers == 1 else ""
        lines.append(f"{each.callers:>2} concurrent, {each.query:<10}  p50 {p50:.2f} ms, p99 {p99:.2f} ms{goal}")
    return "\n".join([*lines, ""])
