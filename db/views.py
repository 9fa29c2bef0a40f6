"""Reading orders and teams as they are now."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from db.connection import Database, Row, connection, fetch_one
from db.guards import both
from db.offers import campaign_terms, terms
from domain.eligibility import Facts
from domain.ids import team_workflow_id
from domain.limits import REMEMBERED
from domain.messages import SeatRequest
from domain.states import OrderStatus, PaymentOutcome, PaymentReason, TeamStatus
from domain.trade import Member, OpsOrder, OpsTeam, Order, Team, WorkflowLink


@dataclass(frozen=True, slots=True)
class History:
    """Where people look at workflows: the base of their addresses in the Temporal UI, empty where none is configured."""

    base_url: str = ""

    def link(self, workflow_id: str) -> WorkflowLink:
        return WorkflowLink(id=workflow_id, url=f"{self.base_url}{workflow_id}" if self.base_url else None)


@dataclass(frozen=True, slots=True)
class OrderRecord:
    """An order with what only the platform needs of it."""

    order: Order
    opened_team: bool
    paid_amount: Decimal | None
    payment_outcome: PaymentOutcome | None
    payment_reason: PaymentReason | None


ORDER = "SELECT * FROM orders WHERE source = $1 AND out_trade_no = $2"


async def read_order(database: Database, history: History, source: str, out_trade_no: str) -> OrderRecord | None:
    async with connection(database) as opened:
        row = await opened.fetchrow(ORDER, source, out_trade_no)
    return _record(row, history) if row else None


@dataclass(frozen=True, slots=True)
class Place:
    """What one read shows of a request for a seat in a team: enough to refuse early."""

    record: OrderRecord | None
    """the order that this out_trade_no has already"""
    team_status: TeamStatus | None
    deadline: datetime | None
    full: bool
    seated: bool
    """the user has a live order in the team"""
    terms: Facts | None
    """what the campaign's terms look at; None: there is no such team, of this mall, goods and campaign"""
    unpaid: int
    """the user's seats in this mall that wait for a payment"""
    unpaid_until: datetime | None
    """when the first of these lapses: the end of its window and grace"""
    lapsed: int
    """the user's seats in this mall that lapsed unpaid lately"""


PLACE = f"""
SELECT o.*, t.team_id AS asked_team_id, t.status AS team_status, t.deadline,
       t.lock_count >= t.target_count AS full,
       EXISTS (SELECT FROM orders s
                WHERE {both("s.team_id, s.user_id", "$3, $4")} AND s.live) AS seated,
       {campaign_terms("$4")},
       l.unpaid, l.unpaid_until, l.lapsed
  FROM (SELECT) AS one
  LEFT JOIN orders o ON o.source = $1 AND o.out_trade_no = $2
  LEFT JOIN teams t
         ON t.team_id = $3 AND t.source = $1 AND t.goods_id = $5 AND ($6::int IS NULL OR t.campaign_id = $6)
  LEFT JOIN campaigns c ON c.campaign_id = t.campaign_id
 CROSS JOIN (
   SELECT count(*) FILTER (WHERE status = 'locked') AS unpaid,
          -- A seat is kept for its grace, too. A subquery: of seats that are not locked no team is read.
          min(lock_expires_at + (SELECT payment_grace FROM teams g WHERE g.team_id = latest.team_id) * interval '1 second')
            FILTER (WHERE status = 'locked') AS unpaid_until,
          count(*) FILTER (WHERE cancel_reason = 'lock_timeout' AND cancelled_at > $7) AS lapsed
     -- The latest are enough, and read from an index that is there: one on status would be written with every payment.
     FROM (SELECT team_id, status, lock_expires_at, cancel_reason, cancelled_at FROM orders
            WHERE {both("user_id, source", "$4, $1")}
            ORDER BY source DESC, locked_at DESC, order_id DESC LIMIT 1000) AS latest
 ) AS l
"""


async def read_place(database: Database, history: History, request: SeatRequest, now: datetime) -> Place:
    async with connection(database) as opened:
        row = await fetch_one(
            opened,
            PLACE,
            request.source,
            request.out_trade_no,
            request.team_id,
            request.user_id,
            request.goods_id,
            request.campaign_id,
            now - REMEMBERED,
        )
    return Place(
        record=_record(row, history) if row["order_id"] is not None else None,
        team_status=row["team_status"] and TeamStatus(row["team_status"]),
        deadline=row["deadline"],
        full=bool(row["full"]),
        seated=row["seated"],
        terms=terms(row, request, now) if row["asked_team_id"] is not None else None,
        unpaid=row["unpaid"],
        unpaid_until=row["unpaid_until"],
        lapsed=row["lapsed"],
    )


MEMBERS = """
(SELECT array_agg((m.user_id, m.out_trade_no, m.status) ORDER BY m.locked_at, m.out_trade_no)
   FROM orders m WHERE m.team_id = t.team_id) AS members"""
TEAM = f"SELECT t.*, {MEMBERS} FROM teams t WHERE t.team_id = $1 AND ($2::text IS NULL OR t.source = $2)"
ORDER_AND_TEAM = f"""
SELECT o AS "order", t AS team, {MEMBERS}
  FROM orders o JOIN teams t USING (team_id) WHERE o.source = $1 AND o.out_trade_no = $2
"""


async def read_team(database: Database, history: History, source: str | None, team_id: str) -> Team | None:
    """A team with everybody who ever had a seat in it; `source` None reads any mall's."""
    async with connection(database) as opened:
        row = await opened.fetchrow(TEAM, team_id, source)
    return None if row is None else _team(row, row["members"], history)


async def read_order_and_team(database: Database, history: History, source: str, out_trade_no: str) -> tuple[OrderRecord, Team]:
    """An order that is there, and its team, at one moment.

    Raises:
        LookupError: it is not there.
    """
    async with connection(database) as opened:
        row = await fetch_one(opened, ORDER_AND_TEAM, source, out_trade_no)
    return _record(row["order"], history), _team(row["team"], row["members"], history)


@dataclass(frozen=True, slots=True)
class Position:
    """Where a list newest first goes on: after the row with this moment and id."""

    moment: datetime
    row_id: str


class Conditions:
    """The WHERE of a list: only the filters that were given, so that the one plan that is kept can use their indexes."""

    def __init__(self) -> None:
        self.values: list[object] = []
        self._conditions: list[str] = []

    def equal(self, expression: str, value: object) -> None:
        if value is not None:
            self.values.append(value)
            self._conditions.append(f"{expression} = ${len(self.values)}")

    def after(self, columns: str, position: Position | None) -> None:
        if position is not None:
            self.values += [position.moment, position.row_id]
            self._conditions.append(f"({columns}) < (${len(self.values) - 1}, ${len(self.values)})")

    def below(self, column: str, value: int | None) -> None:
        if value is not None:
            self.values.append(value)
            self._conditions.append(f"{column} < ${len(self.values)}")

    def __str__(self) -> str:
        return " AND ".join(self._conditions) or "true"


@dataclass(frozen=True, slots=True)
class OrderFilter:
    source: str | None = None
    user_id: str | None = None
    team_id: str | None = None
    campaign_id: int | None = None
    status: OrderStatus | None = None
    out_trade_no: str | None = None
    owed: bool | None = None


OWED = "(o.status = 'refunding' OR o.status = 'paid' AND t.status = 'failed')"


async def list_orders(
    database: Database, history: History, wanted: OrderFilter, after: Position | None, limit: int
) -> list[OpsOrder]:
    """Newest first."""
    conditions = Conditions()
    for name in ("source", "user_id", "team_id", "campaign_id", "status", "out_trade_no"):
        conditions.equal(f"o.{name}", getattr(wanted, name))
    conditions.equal(OWED, wanted.owed)
    conditions.after("o.locked_at, o.order_id", after)
    sql = f"""
        SELECT o.*, {OWED} AS owed FROM orders o JOIN teams t USING (team_id)
         WHERE {conditions} ORDER BY o.locked_at DESC, o.order_id DESC LIMIT {int(limit)}
    """
    async with connection(database) as opened:
        rows = await opened.fetch(sql, *conditions.values)
    return [OpsOrder(**_record(row, history).order.model_dump(), source=row["source"], owed=row["owed"]) for row in rows]


@dataclass(frozen=True, slots=True)
class TeamFilter:
    source: str | None = None
    campaign_id: int | None = None
    goods_id: str | None = None
    status: TeamStatus | None = None


async def list_teams(
    database: Database, history: History, wanted: TeamFilter, after: Position | None, limit: int
) -> list[OpsTeam]:
    """Newest first."""
    conditions = Conditions()
    for name in ("source", "campaign_id", "goods_id", "status"):
        conditions.equal(name, getattr(wanted, name))
    conditions.after("opened_at, team_id", after)
    sql = f"SELECT * FROM teams WHERE {conditions} ORDER BY opened_at DESC, team_id DESC LIMIT {int(limit)}"
    async with connection(database) as opened:
        rows = await opened.fetch(sql, *conditions.values)
    fields = set(OpsTeam.model_fields) - {"workflow"}
    return [
        OpsTeam(**{field: row[field] for field in fields}, workflow=history.link(team_workflow_id(row["team_id"])))
        for row in rows
    ]


def _record(row: Row, history: History) -> OrderRecord:
    return OrderRecord(
        order=Order(
            order_id=row["order_id"],
            out_trade_no=row["out_trade_no"],
            user_id=row["user_id"],
            team_id=row["team_id"],
            campaign_id=row["campaign_id"],
            goods_id=row["goods_id"],
            channel=row["channel"],
            status=row["status"],
            original_price=row["original_price"],
            deduction=row["deduction"],
            pay_price=row["pay_price"],
            locked_at=row["locked_at"],
            lock_expires_at=row["lock_expires_at"],
            paid_at=row["paid_at"],
            cancel_reason=row["cancel_reason"],
            workflow=history.link(team_workflow_id(row["team_id"])),
        ),
        opened_team=row["opened_team"],
        paid_amount=row["paid_amount"],
        payment_outcome=row["payment_outcome"] and PaymentOutcome(row["payment_outcome"]),
        payment_reason=row["payment_reason"] and PaymentReason(row["payment_reason"]),
    )


def _team(row: Row, members: list[tuple[str, str, str]], history: History) -> Team:
    return Team(
        team_id=row["team_id"],
        campaign_id=row["campaign_id"],
        goods_id=row["goods_id"],
        status=row["status"],
        target_count=row["target_count"],
        lock_count=row["lock_count"],
        complete_count=row["complete_count"],
        opened_at=row["opened_at"],
        deadline=row["deadline"],
        completed_at=row["completed_at"],
        members=[
            Member(user_id=user_id, out_trade_no=out_trade_no, status=OrderStatus(status))
            for user_id, out_trade_no, status in members
        ],
        workflow=history.link(team_workflow_id(row["team_id"])),
    )
