"""The mall's state in SQLite: callbacks, what to do about each order, and payments."""

import json
import sqlite3
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from pathlib import Path

from pydantic import BaseModel

from mall.events import Event, EventData, Task
from mall.switches import Transport

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
CREATE INDEX IF NOT EXISTS refunds ON callbacks (json_extract(data, '$.out_trade_no')) WHERE type = 'order.refunded';
CREATE TABLE IF NOT EXISTS orders (
  out_trade_no TEXT PRIMARY KEY,
  team_id TEXT,
  to_do TEXT NOT NULL,
  type TEXT NOT NULL,
  sequence INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS orders_by_sequence ON orders (sequence);
CREATE INDEX IF NOT EXISTS orders_of_team ON orders (team_id, sequence);
CREATE TABLE IF NOT EXISTS vetoes (event_id TEXT PRIMARY KEY);
CREATE TABLE IF NOT EXISTS attempts (
  position INTEGER PRIMARY KEY,
  arrived_at TEXT NOT NULL,
  way TEXT NOT NULL,
  event_id TEXT,
  type TEXT,
  sequence INTEGER,
  team_id TEXT,
  orders TEXT NOT NULL,
  signature TEXT NOT NULL,
  duplicate INTEGER NOT NULL,
  answer TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS payments (
  out_trade_no TEXT PRIMARY KEY,
  amount TEXT NOT NULL,
  taken_at TEXT NOT NULL,
  late INTEGER NOT NULL,
  outcome TEXT,
  reason TEXT
);
CREATE INDEX IF NOT EXISTS unreported_payments ON payments (taken_at) WHERE outcome IS NULL;
"""

_KEPT_ATTEMPTS = 1000  # shown on the page only; callbacks are kept forever

_INSERT_CALLBACK = """
INSERT INTO callbacks (event_id, type, sequence, timestamp, team_id, data, received_at)
VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (event_id) DO UPDATE SET times_received = times_received + 1
RETURNING times_received
"""

# Events can arrive out of order: one with a lower sequence changes nothing.
_UPSERT_ORDER = """
INSERT INTO orders (out_trade_no, team_id, to_do, type, sequence) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (out_trade_no) DO UPDATE
SET team_id = excluded.team_id, to_do = excluded.to_do, type = excluded.type, sequence = excluded.sequence
WHERE excluded.sequence > orders.sequence
"""

_INSERT_ATTEMPT = """
INSERT INTO attempts (arrived_at, way, event_id, type, sequence, team_id, orders, signature, duplicate, answer)
VALUES (:arrived_at, :way, :event_id, :type, :sequence, :team_id, :orders, :signature, :duplicate, :answer)
"""

_REFUNDED_AMOUNTS = """
SELECT json_extract(data, '$.amount') AS amount FROM callbacks
WHERE type = 'order.refunded' AND json_extract(data, '$.out_trade_no') = ?
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
    """The task that the event with the highest sequence sets for an order."""

    out_trade_no: str
    team_id: str | None
    to_do: Task
    type: str
    sequence: int


class Signature(StrEnum):
    GOOD = "good"
    WRONG = "wrong"
    NONE = "none"
    """not verified"""


class Attempt(BaseModel):
    """One attempt of the platform to deliver a callback, and its answer."""

    arrived_at: datetime
    way: Transport
    event_id: str | None = None
    type: str | None = None
    sequence: int | None = None
    team_id: str | None = None
    orders: list[str] = []
    signature: Signature
    duplicate: bool = False
    answer: str


class Payment(BaseModel):
    """Money that the mall took. Its outcome is None until the platform has answered the report."""

    out_trade_no: str
    amount: Decimal
    taken_at: datetime
    late: bool
    outcome: str | None = None
    reason: str | None = None


class Store:
    """One connection, used in the event loop alone, which a write blocks for about a millisecond; so nothing needs a lock."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        # isolation_level=None: transactions begin only where BEGIN is executed.
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.row_factory = sqlite3.Row
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")  # an acknowledged event survives a power cut
        self._db.executescript(_SCHEMA)

    def close(self) -> None:
        self._db.close()

    def record(self, event_id: str, event: Event, attempt: Attempt, *, changes_orders: bool = True) -> int:
        """Stores the event and logs the attempt; returns how often the event has been received.

        A repeat changes no task, nor does a vetoed question (`changes_orders` false).
        """
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
            if changes_orders and times_received == 1 and event.to_do is not None:
                self._db.executemany(
                    _UPSERT_ORDER,
                    [(number, data.team_id, event.to_do, event.type, event.sequence) for number in data.orders],
                )
            self._insert_attempt(attempt.model_copy(update={"duplicate": times_received > 1}))
        return times_received

    def has_event(self, event_id: str) -> bool:
        return self._db.execute("SELECT 1 FROM callbacks WHERE event_id = ?", (event_id,)).fetchone() is not None

    def add_veto(self, event_id: str) -> None:
        """Vetoes this question, and every repeat of it."""
        self._db.execute("INSERT INTO vetoes (event_id) VALUES (?) ON CONFLICT DO NOTHING", (event_id,))

    def is_vetoed(self, event_id: str) -> bool:
        return self._db.execute("SELECT 1 FROM vetoes WHERE event_id = ?", (event_id,)).fetchone() is not None

    def log_attempt(self, attempt: Attempt) -> None:
        with self._db:
            self._db.execute("BEGIN IMMEDIATE")
            self._insert_attempt(attempt)

    def _insert_attempt(self, attempt: Attempt) -> None:
        fields = attempt.model_dump(mode="json") | {"orders": json.dumps(attempt.orders)}
        position = self._db.execute(_INSERT_ATTEMPT, fields).lastrowid or 0
        self._db.execute("DELETE FROM attempts WHERE position <= ?", (position - _KEPT_ATTEMPTS,))

    def attempts(self, team_id: str | None, limit: int) -> list[Attempt]:
        """Newest first."""
        rows = self._db.execute(
            "SELECT * FROM attempts WHERE ?1 IS NULL OR team_id = ?1 ORDER BY position DESC LIMIT ?2", (team_id, limit)
        )
        return [Attempt.model_validate({**dict(row), "orders": json.loads(row["orders"])}) for row in rows]

    def add_payment(self, payment: Payment) -> bool:
        """Returns False if money was taken for this order before."""
        inserted = self._db.execute(
            "INSERT INTO payments (out_trade_no, amount, taken_at, late) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
            (payment.out_trade_no, str(payment.amount), payment.taken_at.isoformat(), payment.late),
        )
        return inserted.rowcount == 1

    def set_outcome(self, out_trade_no: str, outcome: str, reason: str | None) -> None:
        self._db.execute("UPDATE payments SET outcome = ?, reason = ? WHERE out_trade_no = ?", (outcome, reason, out_trade_no))

    def payment(self, out_trade_no: str) -> Payment | None:
        row = self._db.execute("SELECT * FROM payments WHERE out_trade_no = ?", (out_trade_no,)).fetchone()
        return None if row is None else Payment.model_validate(dict(row))

    def unreported_payments(self) -> list[Payment]:
        """Oldest first."""
        rows = self._db.execute("SELECT * FROM payments WHERE outcome IS NULL ORDER BY taken_at")
        return [Payment.model_validate(dict(row)) for row in rows]

    def order(self, out_trade_no: str) -> Order | None:
        row = self._db.execute("SELECT * FROM orders WHERE out_trade_no = ?", (out_trade_no,)).fetchone()
        return None if row is None else Order.model_validate(dict(row))

    def refunded_amount(self, out_trade_no: str) -> Decimal:
        """Returns the sum of the order's refunds."""
        rows = self._db.execute(_REFUNDED_AMOUNTS, (out_trade_no,))
        return sum((Decimal(row["amount"]) for row in rows), Decimal("0.00"))

    def callbacks(self, team_id: str | None, limit: int) -> list[Callback]:
        """Last received first."""
        rows = self._db.execute(
            "SELECT * FROM callbacks WHERE ?1 IS NULL OR team_id = ?1 ORDER BY position DESC LIMIT ?2",
            (team_id, limit),
        )
        return [Callback.model_validate({**dict(row), "data": EventData.model_validate_json(row["data"])}) for row in rows]

    def orders(self, team_id: str | None, limit: int) -> list[Order]:
        """The order of the event with the highest sequence first."""
        rows = self._db.execute(
            "SELECT * FROM orders WHERE ?1 IS NULL OR team_id = ?1 ORDER BY sequence DESC, out_trade_no LIMIT ?2",
            (team_id, limit),
        )
        return [Order.model_validate(dict(row)) for row in rows]
