"""What the mall remembers over a restart: the callbacks it received, and where each order stands."""

import sqlite3
from datetime import UTC, datetime
from pathlib import Path

from pydantic import BaseModel

from mall.events import Event, EventData, ToDo

_SCHEMA = """
CREATE TABLE IF NOT EXISTS callbacks (
  position INTEGER PRIMARY KEY,
  event_id TEXT NOT NULL UNIQUE,
  type TEXT NOT NULL,
  sequence INTEGER NOT NULL,
  timestamp TEXT NOT NULL,
  team_id TEXT,
  data TEXT NOT NULL,
  received_at TEXT NOT NULL,
  times_received INTEGER NOT NULL DEFAULT 1
);
CREATE INDEX IF NOT EXISTS callbacks_of_team ON callbacks (team_id, position);
CREATE TABLE IF NOT EXISTS orders (
  out_trade_no TEXT PRIMARY KEY,
  team_id TEXT,
  to_do TEXT NOT NULL,
  type TEXT NOT NULL,
  sequence INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS orders_by_sequence ON orders (sequence);
CREATE INDEX IF NOT EXISTS orders_of_team ON orders (team_id, sequence);
"""

_INSERT_CALLBACK = """
INSERT INTO callbacks (event_id, type, sequence, timestamp, team_id, data, received_at)
VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (event_id) DO UPDATE SET times_received = times_received + 1
RETURNING times_received
"""

# Events come out of order: an earlier one that arrives late changes nothing.
_UPSERT_ORDER = """
INSERT INTO orders (out_trade_no, team_id, to_do, type, sequence) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (out_trade_no) DO UPDATE
SET team_id = excluded.team_id, to_do = excluded.to_do, type = excluded.type, sequence = excluded.sequence
WHERE excluded.sequence > orders.sequence
"""


class Callback(BaseModel):
    """An event as the mall received it."""

    event_id: str
    type: str
    sequence: int
    timestamp: datetime
    data: EventData
    received_at: datetime
    times_received: int


class Order(BaseModel):
    """What the event with the highest sequence says about an order."""

    out_trade_no: str
    team_id: str | None
    to_do: ToDo
    type: str
    sequence: int


class Store:
    """One connection, used from the event loop alone: a write takes about a millisecond, and nothing needs a lock."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        # isolation_level=None: transactions begin where the code says so.
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.row_factory = sqlite3.Row
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")  # what was answered with 2xx survives a power cut
        self._db.executescript(_SCHEMA)

    def close(self) -> None:
        self._db.close()

    def record(self, event_id: str, event: Event) -> int:
        """Keep the event and return how often it came: more than 1 is a repeat, which changes nothing else."""
        data = event.data
        with self._db:
            self._db.execute("BEGIN IMMEDIATE")
            row = self._db.execute(
                _INSERT_CALLBACK,
                (
                    event_id,
                    event.type,
                    event.sequence,
                    event.timestamp.isoformat(),
                    data.team_id,
                    data.model_dump_json(exclude_unset=True),
                    datetime.now(UTC).isoformat(),
                ),
            ).fetchone()
            times_received = int(row["times_received"])
            if times_received == 1 and event.to_do is not None:
                self._db.executemany(
                    _UPSERT_ORDER,
                    [(number, data.team_id, event.to_do, event.type, event.sequence) for number in data.orders],
                )
        return times_received

    def callbacks(self, team_id: str | None, limit: int) -> list[Callback]:
        """Newest first, as received."""
        rows = self._db.execute(
            "SELECT * FROM callbacks WHERE ?1 IS NULL OR team_id = ?1 ORDER BY position DESC LIMIT ?2",
            (team_id, limit),
        )
        return [Callback.model_validate({**dict(row), "data": EventData.model_validate_json(row["data"])}) for row in rows]

    def orders(self, team_id: str | None, limit: int) -> list[Order]:
        """The order that was spoken of last comes first."""
        rows = self._db.execute(
            "SELECT * FROM orders WHERE ?1 IS NULL OR team_id = ?1 ORDER BY sequence DESC, out_trade_no LIMIT ?2",
            (team_id, limit),
        )
        return [Order.model_validate(dict(row)) for row in rows]
