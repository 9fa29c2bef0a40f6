"""How far reconciliation has come with what it looks at in turn, a slice in each run."""

from dataclasses import dataclass
from datetime import UTC, datetime

from db.core.connection import Connection, Database, connection


@dataclass(frozen=True, slots=True)
class Cursor:
    """The last row of a slice."""

    at: datetime
    id: str


BEGIN = Cursor(datetime(1970, 1, 1, tzinfo=UTC), "")

READ = "SELECT after_at AS at, after_id AS id FROM reconciliation_cursors WHERE name = $1"
# A slice that reached the end makes a pass complete: all rows were looked at since it began.
MOVE = """
INSERT INTO reconciliation_cursors AS c (name, after_at, after_id, begun_at, last_begun_at, last_finished_at)
VALUES ($1, $2, $3, $5, CASE WHEN $4 THEN $5::timestamptz END, CASE WHEN $4 THEN $5::timestamptz END)
ON CONFLICT (name) DO UPDATE
   SET after_at = $2, after_id = $3, begun_at = CASE WHEN $4 THEN $5 ELSE c.begun_at END,
       last_begun_at = CASE WHEN $4 THEN c.begun_at ELSE c.last_begun_at END,
       last_finished_at = CASE WHEN $4 THEN $5 ELSE c.last_finished_at END
"""


async def read_cursor(conn: Connection, name: str) -> Cursor:
    row = await conn.fetchrow(READ, name)
    return Cursor(**row) if row else BEGIN


async def move_cursor(database: Database, name: str, cursor: Cursor, now: datetime) -> None:
    """Notes where the next slice begins: after this row, or from the beginning."""
    async with connection(database) as conn:
        await conn.execute(MOVE, name, cursor.at, cursor.id, cursor == BEGIN, now)
