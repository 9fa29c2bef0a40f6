"""How a campaign goes: its quotes, its teams by status, their seats, and its stock."""

from dataclasses import dataclass

from db.core.connection import Database, fetch_one, planned_for_values

# Seats are summed from the teams' counters: a campaign has a few orders for each team.
FUNNEL = """
WITH removed AS (
  SELECT coalesce(sum(teams), 0) AS teams, coalesce(sum(completed), 0) AS completed, coalesce(sum(failed), 0) AS failed,
         coalesce(sum(live_seats), 0) AS live_seats, coalesce(sum(paid_seats), 0) AS paid_seats
    FROM removed_teams WHERE campaign_id = $1
), kept AS (
  SELECT count(*) AS teams, count(*) FILTER (WHERE status = 'forming') AS forming,
         count(*) FILTER (WHERE completed_at IS NOT NULL) AS completed,
         count(*) FILTER (WHERE status = 'failed') AS failed,
         coalesce(sum(lock_count), 0) AS live_seats, coalesce(sum(complete_count), 0) AS paid_seats
    FROM teams WHERE campaign_id = $1
)
SELECT (SELECT coalesce(sum(quotes), 0) FROM quote_counts WHERE campaign_id = $1) AS quotes,
       kept.teams + removed.teams AS teams, kept.forming, kept.completed + removed.completed AS completed,
       kept.failed + removed.failed AS failed, kept.live_seats + removed.live_seats AS live_seats,
       kept.paid_seats + removed.paid_seats AS paid_seats,
       (SELECT stock FROM campaign_stock WHERE campaign_id = $1) AS stock,
       (SELECT live FROM campaign_stock WHERE campaign_id = $1) AS stock_taken
  FROM kept, removed
"""


@dataclass(frozen=True, slots=True)
class Funnel:
    quotes: int
    """prices that buyers were told"""
    teams: int
    forming: int
    completed: int
    """also those that members have left since"""
    failed: int
    live_seats: int
    paid_seats: int
    stock: int | None
    """None: the campaign has no limit"""
    stock_taken: int | None


async def read_funnel(database: Database, campaign_id: int) -> Funnel:
    """Counts the teams of a campaign; reads each of them."""
    async with planned_for_values(database) as conn:
        return Funnel(**await fetch_one(conn, FUNNEL, campaign_id))
