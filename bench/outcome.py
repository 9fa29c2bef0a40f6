"""What is left after the load: teams, callbacks, histories, invariants."""

import asyncio
import time
from dataclasses import dataclass

import aiohttp
import asyncpg
from temporalio.client import Client

from bench.processes import BenchError

LOOK_EVERY = 0.05
DELIVERED_WITHIN = 120.0
HISTORIES = 20

PENDING = "SELECT count(*) FROM deliveries WHERE status = 'pending'"
# Some early, some late.
SOME_TEAMS = """
SELECT team_id FROM (SELECT team_id, row_number() OVER (ORDER BY opened_at) - 1 AS place, count(*) OVER () AS teams
                       FROM teams WHERE status = 'completed') numbered
 WHERE place % greatest(teams / $1::int, 1) = 0
"""


@dataclass(frozen=True)
class Outcome:
    """Of the whole run."""

    played: int
    completed: int
    delivered: int
    history_events: list[int]
    violations: list[str]


async def until_delivered(database: "asyncpg.Connection[asyncpg.Record]") -> float:
    """Waits until the mall has every callback; returns how long that took."""
    began = time.monotonic()
    while left := await database.fetchval(PENDING):
        if time.monotonic() - began > DELIVERED_WITHIN:
            raise BenchError(f"{left} callbacks were still not delivered after {DELIVERED_WITHIN:g} s")
        await asyncio.sleep(LOOK_EVERY)
    return time.monotonic() - began


async def history_events(client: Client, workflow_id: str) -> int:
    """Events of a workflow that has nothing left to do now."""
    handle = client.get_workflow_handle(workflow_id)
    while True:
        described = (await handle.describe()).raw_description
        if not described.pending_activities and not described.HasField("pending_workflow_task"):
            return len((await handle.fetch_history()).events)
        await asyncio.sleep(LOOK_EVERY)


async def outcome(
    database: "asyncpg.Connection[asyncpg.Record]", client: Client, http: aiohttp.ClientSession, ops_key: str, played: int
) -> Outcome:
    teams = await database.fetch(SOME_TEAMS, HISTORIES)
    async with http.get("/v1/ops/invariants", headers={"Authorization": f"Bearer {ops_key}"}) as response:
        response.raise_for_status()
        found = (await response.json())["violations"]
    return Outcome(
        played=played,
        completed=await database.fetchval("SELECT count(*) FROM teams WHERE status = 'completed'"),
        delivered=await database.fetchval("SELECT count(*) FROM deliveries WHERE status = 'delivered'"),
        history_events=sorted([await history_events(client, f"team-{row['team_id']}") for row in teams]),
        violations=[f"{each['invariant']}: {each['subject']}: {each['detail']}" for each in found],
    )
