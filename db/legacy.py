"""Reads for the legacy format alone."""

from db.core.connection import Database, connection

SOURCES = "SELECT source FROM malls"


async def known_sources(database: Database) -> set[str]:
    async with connection(database) as conn:
        return {row["source"] for row in await conn.fetch(SOURCES)}


OWN_NUMBERS = """
SELECT team_id, out_trade_no FROM orders WHERE team_id = ANY($1::text[]) AND user_id = $2 AND live
"""


async def own_numbers(database: Database, team_ids: list[str], user_id: str) -> dict[str, str]:
    """Returns the out_trade_no of the user's live order in each of these teams, by team id."""
    if not team_ids:
        return {}
    async with connection(database) as conn:
        return {row["team_id"]: row["out_trade_no"] for row in await conn.fetch(OWN_NUMBERS, team_ids, user_id)}
