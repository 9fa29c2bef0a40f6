"""The rows that the benchmark writes are rows that the platform could have written, and retention removes them."""

from datetime import UTC, datetime, timedelta

from bench.old_teams import seed_old_teams
from db.core.connection import Database, connection
from db.core.invariants import violations
from db.retention.removal import next_old_teams, remove_teams


async def test_old_teams_of_the_benchmark_hold_the_invariants(database: Database) -> None:
    async with connection(database) as conn:
        await seed_old_teams(conn, 30)
    assert await violations(database) == []
    later = datetime.now(UTC) + timedelta(hours=1)
    old = await next_old_teams(database, later)
    assert (await remove_teams(database, old.team_ids, later)).orders == 100
    assert await violations(database) == []
