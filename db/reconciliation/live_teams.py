"""The teams whose workflow ought to be running, looked at in turn, a slice in each run of reconciliation."""

from dataclasses import dataclass
from datetime import datetime

from db.core.connection import Database, connection
from db.reconciliation.conditions import IS_COMPLETED, LATE_BY, WINDOW_END, WINDOW_ENDS_WITHIN, is_woken
from db.reconciliation.cursors import BEGIN, Cursor, read_cursor

NAME = "workflows"

# In the order in which they end: a team's end only ever moves to a later moment, so none is passed over.
SLICE = f"""
(SELECT team_id, deadline AS until FROM teams
  WHERE status = 'forming' AND NOT {is_woken("$5")} AND (deadline, team_id) > ($1, $2) ORDER BY deadline, team_id LIMIT $4)
UNION ALL
(SELECT team_id, {WINDOW_END} AT TIME ZONE 'UTC' FROM teams
  WHERE {IS_COMPLETED} AND NOT {is_woken("$5")} AND {WINDOW_END} > $3 AT TIME ZONE 'UTC'
    AND ({WINDOW_END}, team_id) > ($1 AT TIME ZONE 'UTC', $2)
  ORDER BY {WINDOW_END}, team_id LIMIT $4)
ORDER BY until, team_id LIMIT $4
"""
FOUND = "SELECT subject FROM reconciliation_findings WHERE kind = 'workflow' ORDER BY last_seen_at LIMIT $1"


@dataclass(frozen=True, slots=True)
class LiveTeams:
    team_ids: set[str]
    cursor: Cursor
    """where the next slice begins"""


async def next_live_teams(database: Database, now: datetime, limit: int) -> LiveTeams:
    """Returns the next teams that are forming or in their refund window, and those whose workflow was not running before."""
    async with connection(database) as conn:
        cursor = await read_cursor(conn, NAME)
        rows = await conn.fetch(SLICE, cursor.at, cursor.id, now + WINDOW_ENDS_WITHIN, limit, now - LATE_BY)
        found = await conn.fetch(FOUND, limit)
    last = Cursor(rows[-1]["until"], rows[-1]["team_id"]) if len(rows) == limit else BEGIN
    return LiveTeams({row["team_id"] for row in rows} | {row["subject"] for row in found}, last)
