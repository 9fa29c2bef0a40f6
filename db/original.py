"""What only the original's wire format asks of the rows."""

import json
from datetime import datetime
from typing import Any

from db.administration import RECORD_CHANGE
from db.connection import Database, connection, fetch_one, transaction

SOURCES = "SELECT source FROM malls"


async def known_sources(database: Database) -> set[str]:
    async with connection(database) as opened:
        return {row["source"] for row in await opened.fetch(SOURCES)}


SET_SWITCH = """
INSERT INTO switches AS s (name, value, version, changed_by, changed_at) VALUES ($1, $2, 1, $3, $4)
ON CONFLICT (name) DO UPDATE
   SET value = excluded.value, version = s.version + 1, changed_by = excluded.changed_by, changed_at = excluded.changed_at
RETURNING version
"""


async def set_switch(database: Database, name: str, value: Any, *, by: str, now: datetime) -> None:  # noqa: ANN401
    """Sets a switch, and keeps who did."""
    async with transaction(database) as opened:
        version = (await fetch_one(opened, SET_SWITCH, name, json.dumps(value), by, now))["version"]
        content = {"name": name, "value": value, "version": version}
        await opened.execute(RECORD_CHANGE, now, by, f"switch/{name}", json.dumps(content))


OWN_NUMBERS = """
SELECT team_id, out_trade_no FROM orders WHERE team_id = ANY($1::text[]) AND user_id = $2 AND live
"""


async def own_numbers(database: Database, team_ids: list[str], user_id: str) -> dict[str, str]:
    """The out_trade_no of a user's seat in each of these teams."""
    if not team_ids:
        return {}
    async with connection(database) as opened:
        return {row["team_id"]: row["out_trade_no"] for row in await opened.fetch(OWN_NUMBERS, team_ids, user_id)}
