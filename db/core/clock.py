"""The clocks of the API and the workers beside PostgreSQL's, by which requests to a workflow are out of date."""

from datetime import UTC, datetime, timedelta

from db.core.connection import Database, connection

TOLERATED = timedelta(seconds=2)


async def clock_offset(database: Database) -> timedelta:
    """Returns how far PostgreSQL's clock is ahead of this process's, to within half the time of the question."""
    async with connection(database) as conn:
        asked = datetime.now(UTC)
        there: datetime = await conn.fetchval("SELECT clock_timestamp()")
        answered = datetime.now(UTC)
    return there - (asked + (answered - asked) / 2)
