"""The state after the load: teams, callbacks, histories, invariants."""

import asyncio
import time
from dataclasses import dataclass
from typing import Any

import asyncpg
from temporalio.client import Client

from bench.api_client import ApiClient
from bench.processes import BenchError

POLL_EVERY = 0.05
DELIVERED_WITHIN = 120.0
HISTORIES = 20

PENDING = "SELECT count(*) FROM deliveries WHERE status = 'pending'"
# Evenly spread over the run.
SAMPLE_OF_TEAMS = """
SELECT team_id FROM (SELECT team_id, row_number() OVER (ORDER BY opened_at) - 1 AS number, count(*) OVER () AS teams
                       FROM teams WHERE status = 'completed') numbered
 WHERE number % greatest(teams / $1::int, 1) = 0
"""


@dataclass(frozen=True)
class Outcome:
    """The state after the whole run."""

    played: int
    completed: int
    delivered: int
    history_events: list[int]
    """sorted, of a sample of teams"""
    violations: list[str]

    @property
    def is_good(self) -> bool:
        return self.played == self.completed and not self.violations


async def until_delivered(database: "asyncpg.Connection[Any]") -> float:
    """Waits until no callback is pending; returns the seconds that took."""
    began = time.monotonic()
    while left := await database.fetchval(PENDING):
        if time.monotonic() - began > DELIVERED_WITHIN:
            raise BenchError(f"{left} callbacks were still not delivered after {DELIVERED_WITHIN:g} s")
        await asyncio.sleep(POLL_EVERY)
    return time.monotonic() - began


async def history_events(client: Client, workflow_id: str) -> int:
    """Returns the number of events, as soon as the workflow has no pending activity and no pending task."""
    handle = client.get_workflow_handle(workflow_id)
    while True:
        description = (await handle.describe()).raw_description
        if not description.pending_activities and not description.HasField("pending_workflow_task"):
            return len((await handle.fetch_history()).events)
        await asyncio.sleep(POLL_EVERY)


async def read_outcome(database: "asyncpg.Connection[Any]", client: Client, ops: ApiClient, played: int) -> Outcome:
    """`played` is the number of teams that the callers completed."""
    teams = await database.fetch(SAMPLE_OF_TEAMS, HISTORIES)
    violations = (await ops.get("/v1/ops/invariants?within=20"))["violations"]
    return Outcome(
        played=played,
        completed=await database.fetchval("SELECT count(*) FROM teams WHERE status = 'completed'"),
        delivered=await database.fetchval("SELECT count(*) FROM deliveries WHERE status = 'delivered'"),
        history_events=sorted([await history_events(client, f"team-{row['team_id']}") for row in teams]),
        violations=[f"{each['invariant']}: {each['subject']}: {each['detail']}" for each in violations],
    )
