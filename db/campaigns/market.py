"""What a buyer finds who looks for a team: one or two index scans, however many teams there are."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import TypeAdapter

from db.core.connection import Connection, Database, Row, connection, fetch_one
from db.core.planner_hints import IS_FORMING, equal_pair
from domain.schemas.market import MarketTeam, Statistics
from domain.types import mask_user_id

OWN_ORDERS = 500
"""so many of a buyer's latest orders are looked through for teams of his own"""
MEMBERS_SHOWN = 10

# What may be joined, in the order of teams_joinable_idx. A full team is skipped as it is met: one waits for its payments no
# longer than a payment window.
HAS_SEAT = "deadline > $5 AND lock_count < target_count"
ORDER = "target_count - complete_count, deadline"

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
    WHERE team_id = ANY((SELECT team_ids FROM own)::text[]) AND {IS_FORMING} AND {HAS_SEAT} ORDER BY {ORDER} LIMIT $6)
  UNION ALL
  (SELECT {COLUMNS}, false FROM teams
    WHERE source = $1 AND campaign_id = $2 AND goods_id = $3 AND status = 'forming' AND {HAS_SEAT}
      AND team_id <> ALL((SELECT team_ids FROM own)::text[])
    ORDER BY {ORDER} LIMIT $7)
), shown AS (
  SELECT * FROM listed ORDER BY mine DESC, {ORDER} LIMIT $6
)
SELECT t.*, ARRAY(SELECT user_id || ' ' || status FROM orders o
                   WHERE o.team_id = t.team_id AND live ORDER BY locked_at LIMIT {MEMBERS_SHOWN}) AS members
  FROM shown t ORDER BY mine DESC, {ORDER}
"""


@dataclass(frozen=True, slots=True)
class MarketViewer:
    """Who looks for a team of some goods in a campaign."""

    source: str
    campaign_id: int
    goods_id: str
    user_id: str
    sees_others: bool
    """else only the teams that he is in already"""


async def market_teams(conn: Connection, looker: MarketViewer, now: datetime, limit: int) -> list[MarketTeam]:
    """Teams with a free seat: the buyer's own first, then by how few payments they lack and how soon they end."""
    who = (looker.source, looker.campaign_id, looker.goods_id, looker.user_id)
    rows = await conn.fetch(TEAMS, *who, now, limit, limit if looker.sees_others else 0)
    return MARKET_TEAMS.validate_python([_team(row, looker.user_id) for row in rows])


# Many small models at once: pydantic makes them of plain values in one go.
MARKET_TEAMS = TypeAdapter(list[MarketTeam])


def _team(row: Row, looker: str) -> dict[str, Any]:
    seats_left = row["target_count"] - row["lock_count"]
    return {**row, "seats_left": seats_left, "members": [_member(member, looker) for member in row["members"]]}


def _member(stored: str, looker: str) -> dict[str, str]:
    user_id, _, status = stored.partition(" ")
    return {"user_id": user_id if user_id == looker else mask_user_id(user_id), "status": status}


# Rows that are never deleted: a refund takes nothing from these counts. Every user who ever had a seat has a quota row.
STATISTICS = """
SELECT count(*) AS team_count, count(completed_at) AS completed_team_count,
       (SELECT count(*) FROM user_quotas WHERE campaign_id = $1 AND source = $2) AS user_count
  FROM teams WHERE campaign_id = $1 AND source = $2
"""


async def count_statistics(database: Database, source: str, campaign_id: int) -> Statistics:
    """Reads every team of the campaign: callers cache the answer (api/runtime/statistics.py)."""
    async with connection(database) as conn:
        row = await fetch_one(conn, STATISTICS, campaign_id, source)
    return Statistics(**row)
