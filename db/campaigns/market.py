"""The market: teams a buyer can join. One or two index scans, however many teams there are."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import TypeAdapter

from db.core.connection import Connection, Database, Row, fetch_one, planned_for_values
from db.core.planner_hints import IS_FORMING, equal_pair
from domain.schemas.market import MarketTeam, Statistics
from domain.types import mask_user_id

OWN_ORDERS = 500
"""how many of the buyer's latest orders are searched for the buyer's own teams"""
MEMBERS_SHOWN = 10

# Joinable teams, in the order of teams_joinable_idx. The scan skips full teams; a team is full for no longer than the payment
# window, so these are few.
# Twin of domain.seats.can_take_seat, with the status that each part of TEAMS asks for.
HAS_SEAT = "deadline > $5 AND lock_count < target_count"
BEST_FIRST = "target_count - complete_count, deadline"

COLUMNS = "team_id, campaign_id, target_count, lock_count, complete_count, opened_at, deadline"

TEAMS = f"""
WITH own AS MATERIALIZED (
  SELECT coalesce(array_agg(DISTINCT team_id), '{{}}') AS team_ids
    FROM (SELECT team_id, live, campaign_id, goods_id FROM orders
           WHERE {equal_pair("user_id, source", "$4, $1")}
           ORDER BY source DESC, locked_at DESC, order_id DESC LIMIT {OWN_ORDERS}) latest
   WHERE live AND campaign_id = $2 AND goods_id = $3
), listed AS (
  (SELECT {COLUMNS}, true AS mine FROM teams
    WHERE team_id = ANY((SELECT team_ids FROM own)::text[]) AND {IS_FORMING} AND {HAS_SEAT} ORDER BY {BEST_FIRST} LIMIT $6)
  UNION ALL
  (SELECT {COLUMNS}, false FROM teams
    WHERE source = $1 AND campaign_id = $2 AND goods_id = $3 AND status = 'forming' AND {HAS_SEAT}
      AND team_id <> ALL((SELECT team_ids FROM own)::text[])
    ORDER BY {BEST_FIRST} LIMIT $7)
), shown AS (
  SELECT * FROM listed ORDER BY mine DESC, {BEST_FIRST} LIMIT $6
)
SELECT t.*, ARRAY(SELECT user_id || ' ' || status FROM orders o
                   WHERE o.team_id = t.team_id AND live ORDER BY locked_at, out_trade_no LIMIT {MEMBERS_SHOWN}) AS members
  FROM shown t ORDER BY mine DESC, {BEST_FIRST}
"""


@dataclass(frozen=True, slots=True)
class MarketViewer:
    """The buyer who views the market for some goods of a campaign."""

    source: str
    campaign_id: int
    goods_id: str
    user_id: str
    sees_others: bool
    """false: only the buyer's own teams are shown"""


async def market_teams(conn: Connection, viewer: MarketViewer, now: datetime, limit: int) -> list[MarketTeam]:
    """Returns teams with a free seat: the buyer's own first, then by missing payments and deadline, least first."""
    who = (viewer.source, viewer.campaign_id, viewer.goods_id, viewer.user_id)
    rows = await conn.fetch(TEAMS, *who, now, limit, limit if viewer.sees_others else 0)
    return MARKET_TEAMS.validate_python([_team(row, viewer.user_id) for row in rows])


# One adapter call for the whole list: faster than constructing each model.
MARKET_TEAMS = TypeAdapter(list[MarketTeam])


def _team(row: Row, viewer: str) -> dict[str, Any]:
    seats_left = row["target_count"] - row["lock_count"]
    return {**row, "seats_left": seats_left, "members": [_member(member, viewer) for member in row["members"]]}


def _member(stored: str, viewer: str) -> dict[str, str]:
    user_id, _, status = stored.partition(" ")
    return {"user_id": user_id if user_id == viewer else mask_user_id(user_id), "status": status}


# Refunds do not lower the counts, nor does retention. Every user who ever had a seat has a quota row.
STATISTICS = """
SELECT count(*) + coalesce((SELECT teams FROM removed_teams WHERE campaign_id = $1 AND source = $2), 0) AS team_count,
       count(completed_at) + coalesce((SELECT completed FROM removed_teams WHERE campaign_id = $1 AND source = $2), 0)
       AS completed_team_count,
       (SELECT count(*) FROM user_quotas WHERE campaign_id = $1 AND source = $2) AS user_count
  FROM teams WHERE campaign_id = $1 AND source = $2
"""


async def count_statistics(database: Database, source: str, campaign_id: int) -> Statistics:
    """Reads every team of the campaign, so callers cache the result (api/runtime/statistics.py)."""
    async with planned_for_values(database) as conn:
        row = await fetch_one(conn, STATISTICS, campaign_id, source)
    return Statistics(**row)
