"""The market: teams a buyer can join. One or two index scans, however many teams there are."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import TypeAdapter

from db.core.connection import Connection, Database, connection
from db.core.planner_hints import IS_FORMING, equal_pair
from domain.schemas.market import MarketTeam, Statistics
from domain.types import mask_user_id

OWN_ORDERS = 500
"""how many of the buyer's latest orders are searched for the buyer's own teams"""
MEMBERS_SHOWN = 10

# $4 is the time. Twin of domain.seats.can_take_seat, but for the status.
HAS_SEAT = "deadline > $4 AND lock_count < target_count"
BEST_FIRST = "target_count - complete_count, deadline"

COLUMNS = "team_id, campaign_id, target_count, lock_count, complete_count, opened_at, deadline"


def joinable(source: str, campaign_id: str, goods_id: str) -> str:
    """Returns SQL: teams with a free seat, to be read in the order of teams_joinable_idx.

    The scan skips full teams; a team is full for no longer than the payment window, so these are few.
    """
    return f"""
SELECT {COLUMNS}, false AS mine FROM teams
 WHERE source = {source} AND campaign_id = {campaign_id} AND goods_id = {goods_id} AND status = 'forming' AND {HAS_SEAT}"""


MEMBERS = f"""
ARRAY(SELECT user_id || ' ' || status FROM orders o
       WHERE o.team_id = t.team_id AND live ORDER BY locked_at, out_trade_no LIMIT {MEMBERS_SHOWN}) AS members"""

# $1 sources, $2 campaigns, $3 goods, $5 limits, one of each a view.
TEAMS_FOR_ALL = f"""
WITH shown AS (
  SELECT v.position, t.*
    FROM unnest($1::text[], $2::int[], $3::text[], $5::int[]) WITH ORDINALITY
         AS v (source, campaign_id, goods_id, at_most, position)
   CROSS JOIN LATERAL ({joinable("v.source", "v.campaign_id", "v.goods_id")} ORDER BY {BEST_FIRST} LIMIT v.at_most) t
)
SELECT t.*, {MEMBERS} FROM shown t ORDER BY position, {BEST_FIRST}
"""

TEAMS = f"""
WITH own AS MATERIALIZED (
  SELECT coalesce(array_agg(DISTINCT team_id), '{{}}') AS team_ids
    FROM (SELECT team_id, live, campaign_id, goods_id FROM orders
           WHERE {equal_pair("user_id, source", "$7, $1")}
           ORDER BY source DESC, locked_at DESC, order_id DESC LIMIT {OWN_ORDERS}) latest
   WHERE live AND campaign_id = $2 AND goods_id = $3
), listed AS (
  (SELECT {COLUMNS}, true AS mine FROM teams
    WHERE team_id = ANY((SELECT team_ids FROM own)::text[]) AND {IS_FORMING} AND {HAS_SEAT}
    ORDER BY {BEST_FIRST} LIMIT $5)
  UNION ALL
  ({joinable("$1", "$2", "$3")} AND team_id <> ALL((SELECT team_ids FROM own)::text[]) ORDER BY {BEST_FIRST} LIMIT $6)
), shown AS (
  SELECT * FROM listed ORDER BY mine DESC, {BEST_FIRST} LIMIT $5
)
SELECT t.*, {MEMBERS} FROM shown t ORDER BY mine DESC, {BEST_FIRST}
"""


@dataclass(frozen=True, slots=True)
class MarketView:
    """What of the market is looked at: teams for some goods of a campaign, so many at most."""

    source: str
    campaign_id: int
    goods_id: str
    limit: int


async def teams_for_all(conn: Connection, views: Sequence[MarketView], now: datetime) -> list[list[MarketTeam]]:
    """Returns for each view the teams with a free seat as everybody sees them who has none.

    They are in order of missing payments and deadline, least first. Equal views are read once.
    """
    asked = list(dict.fromkeys(views))
    rows = await conn.fetch(
        TEAMS_FOR_ALL,
        [view.source for view in asked],
        [view.campaign_id for view in asked],
        [view.goods_id for view in asked],
        now,
        [view.limit for view in asked],
    )
    shown: list[list[dict[str, Any]]] = [[] for _ in asked]
    for row in map(dict, rows):
        shown[row.pop("position") - 1].append(row)
    teams = dict(zip(asked, map(_teams, shown), strict=True))
    return [teams[view] for view in views]


async def teams_for(conn: Connection, view: MarketView, now: datetime, user_id: str, *, sees_others: bool) -> list[MarketTeam]:
    """Returns teams with a free seat as a buyer sees them: the buyer's own first, and only these without `sees_others`."""
    what = (view.source, view.campaign_id, view.goods_id, now, view.limit)
    return _teams(map(dict, await conn.fetch(TEAMS, *what, view.limit if sees_others else 0, user_id)), user_id)


# One adapter call for the whole list: faster than constructing each model.
MARKET_TEAMS = TypeAdapter(list[MarketTeam])


def _teams(rows: Iterable[dict[str, Any]], viewer: str | None = None) -> list[MarketTeam]:
    return MARKET_TEAMS.validate_python([_team(row, viewer) for row in rows])


def _team(row: dict[str, Any], viewer: str | None) -> dict[str, Any]:
    seats_left = row["target_count"] - row["lock_count"]
    return {**row, "seats_left": seats_left, "members": [_member(member, viewer) for member in row["members"]]}


def _member(stored: str, viewer: str | None) -> dict[str, str]:
    user_id, _, status = stored.partition(" ")
    return {"user_id": user_id if user_id == viewer else mask_user_id(user_id), "status": status}


async def count_statistics(database: Database, campaigns: Sequence[tuple[str, int]]) -> list[Statistics]:
    """Counts for each mall and campaign.

    It reads every team of theirs, so callers cache the result (api/runtime/statistics.py).
    """
    ids, sources = [campaign_id for _, campaign_id in campaigns], [source for source, _ in campaigns]
    async with connection(database) as conn:
        rows = await conn.fetch("SELECT * FROM groupbuy_campaign_statistics($1, $2)", ids, sources)
    return [Statistics(**row) for row in rows]
