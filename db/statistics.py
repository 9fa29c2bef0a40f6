"""Statistics by day, counted from the rows: a roll-up that nothing but its own workflow writes."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import NamedTuple

from db.core.connection import Database, connection, transaction
from db.core.pagination import Conditions, Position
from domain.schemas.statistics import DayStatistics


class QuoteKey(NamedTuple):
    day: date
    source: str
    campaign_id: int


# In the order of the keys, so that two processes that add at the same time cannot wait for each other.
ADD_QUOTES = """
INSERT INTO quote_counts AS q (day, source, campaign_id, quotes)
SELECT * FROM unnest($1::date[], $2::text[], $3::int[], $4::bigint[]) ORDER BY 1, 2, 3
ON CONFLICT (day, source, campaign_id) DO UPDATE SET quotes = q.quotes + excluded.quotes
"""


async def add_quotes(database: Database, counts: Mapping[QuoteKey, int]) -> None:
    """Adds quotes that a process has answered, by day, mall and campaign."""
    async with connection(database) as conn:
        await conn.execute(ADD_QUOTES, *(list(column) for column in zip(*counts, strict=True)), list(counts.values()))


ALL_MALLS = ""
"""the source of a day's row for all malls together"""

# Every part reads the range of one index. What became of it later is counted on the same day, so that a day's figures belong
# together; a later count corrects them.
COUNT_DAY = """
WITH t AS (
  SELECT CASE WHEN GROUPING(source) = 1 THEN '' ELSE source END AS source, count(*) AS teams_opened,
         count(*) FILTER (WHERE completed_at IS NOT NULL) AS teams_completed,
         count(*) FILTER (WHERE status = 'failed' AND completed_at IS NULL) AS teams_failed,
         percentile_cont(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM completed_at - opened_at)) AS form_seconds_median,
         percentile_cont(0.9) WITHIN GROUP (ORDER BY extract(epoch FROM completed_at - opened_at)) AS form_seconds_p90
    FROM teams WHERE opened_at >= $2 AND opened_at < $3 GROUP BY GROUPING SETS ((source), ())
), o AS (
  SELECT CASE WHEN GROUPING(o.source) = 1 THEN '' ELSE o.source END AS source, count(*) AS seats_locked,
         count(*) FILTER (WHERE payment_outcome IN ('settled', 'reseated')) AS seats_paid,
         count(*) FILTER (WHERE o.status = 'paid' AND t.status IN ('completed', 'completed_with_refunds')) AS seats_completed,
         count(*) FILTER (WHERE o.status = 'cancelled') AS seats_lapsed,
         coalesce(sum(pay_price) FILTER (WHERE payment_outcome IN ('settled', 'reseated')), 0) AS amount_paid,
         coalesce(sum(deduction) FILTER (WHERE payment_outcome IN ('settled', 'reseated')), 0) AS discount
    FROM orders o JOIN teams t USING (team_id) WHERE o.locked_at >= $2 AND o.locked_at < $3
   GROUP BY GROUPING SETS ((o.source), ())
), r AS (
  SELECT CASE WHEN GROUPING(o.source) = 1 THEN '' ELSE o.source END AS source,
         count(*) FILTER (WHERE kind = 'unpaid') AS refunds_unpaid,
         count(*) FILTER (WHERE kind = 'paid_unformed') AS refunds_paid_unformed,
         count(*) FILTER (WHERE kind = 'paid_formed') AS refunds_paid_formed,
         count(*) FILTER (WHERE kind = 'unsettled') AS refunds_unsettled,
         coalesce(sum(amount) FILTER (WHERE r.status = 'done'), 0) AS amount_refunded
    FROM refunds r JOIN orders o USING (order_id) WHERE requested_at >= $2 AND requested_at < $3
   GROUP BY GROUPING SETS ((o.source), ())
), c AS (
  SELECT CASE WHEN GROUPING(source) = 1 THEN '' ELSE source END AS source, coalesce(sum(attempts), 0) AS callback_attempts,
         count(*) FILTER (WHERE d.status = 'delivered') AS callbacks_delivered,
         count(*) FILTER (WHERE d.status = 'dead') AS callbacks_dead,
         percentile_cont(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM finished_at - occurred_at))
           FILTER (WHERE d.status = 'delivered') AS callback_seconds_median,
         percentile_cont(0.9) WITHIN GROUP (ORDER BY extract(epoch FROM finished_at - occurred_at))
           FILTER (WHERE d.status = 'delivered') AS callback_seconds_p90
    FROM malls JOIN events USING (source) JOIN deliveries d USING (event_id)
   WHERE occurred_at >= $2 AND occurred_at < $3
   GROUP BY GROUPING SETS ((source), ())
), q AS (
  SELECT CASE WHEN GROUPING(source) = 1 THEN '' ELSE source END AS source, coalesce(sum(quotes), 0) AS quotes
    FROM quote_counts WHERE day = $1 GROUP BY GROUPING SETS ((source), ())
), counted AS (
  SELECT $1::date AS day, source, coalesce(quotes, 0) AS quotes,
         coalesce(teams_opened, 0) AS teams_opened, coalesce(teams_completed, 0) AS teams_completed,
         coalesce(teams_failed, 0) AS teams_failed, coalesce(seats_locked, 0) AS seats_locked,
         coalesce(seats_paid, 0) AS seats_paid, coalesce(seats_completed, 0) AS seats_completed,
         coalesce(seats_lapsed, 0) AS seats_lapsed, coalesce(amount_paid, 0) AS amount_paid,
         coalesce(discount, 0) AS discount, coalesce(refunds_unpaid, 0) AS refunds_unpaid,
         coalesce(refunds_paid_unformed, 0) AS refunds_paid_unformed,
         coalesce(refunds_paid_formed, 0) AS refunds_paid_formed,
         coalesce(refunds_unsettled, 0) AS refunds_unsettled, coalesce(amount_refunded, 0) AS amount_refunded,
         form_seconds_median, form_seconds_p90, coalesce(callback_attempts, 0) AS callback_attempts,
         coalesce(callbacks_delivered, 0) AS callbacks_delivered, coalesce(callbacks_dead, 0) AS callbacks_dead,
         callback_seconds_median, callback_seconds_p90, $4::timestamptz AS counted_at
    FROM t FULL JOIN o USING (source) FULL JOIN r USING (source) FULL JOIN c USING (source) FULL JOIN q USING (source)
), removed AS (
  DELETE FROM daily_statistics d WHERE day = $1 AND NOT EXISTS (SELECT FROM counted WHERE counted.source = d.source)
)
"""
FIGURES = [name for name in DayStatistics.model_fields if name not in ("day", "source")]
STORE_DAY = f"""{COUNT_DAY}
INSERT INTO daily_statistics (day, source, {", ".join(FIGURES)}) SELECT day, source, {", ".join(FIGURES)} FROM counted
ON CONFLICT (day, source) DO UPDATE SET ({", ".join(FIGURES)}) = ({", ".join(f"excluded.{name}" for name in FIGURES)})
"""


async def count_day(database: Database, day: date, now: datetime) -> None:
    """Counts a day (UTC), for every mall and for all together, and replaces what was counted of it before."""
    begin = datetime.combine(day, time(), UTC)
    async with transaction(database) as conn:
        await conn.execute(STORE_DAY, day, begin, begin + timedelta(days=1), now)


COUNTED = "SELECT day, counted_at FROM daily_statistics WHERE source = '' AND day >= $1"


async def counted_days(database: Database, since: date) -> Mapping[date, datetime]:
    """Returns when each day was counted last."""
    async with connection(database) as conn:
        return {row["day"]: row["counted_at"] for row in await conn.fetch(COUNTED, since)}


@dataclass(frozen=True, slots=True)
class StatisticsFilter:
    since: date
    until: date
    """the first and the last day"""
    source: str | None = None
    """None: all malls together"""


async def list_statistics(
    database: Database, filters: StatisticsFilter, after: Position | None = None, limit: int | None = None
) -> list[DayStatistics]:
    """Returns days, the latest first: all of them, unless told otherwise."""
    conditions = Conditions()
    conditions.equal("source", filters.source or ALL_MALLS)
    conditions.at_least("day", filters.since)
    conditions.add("day <= {}", filters.until)
    if after is not None:
        conditions.below("day", after.moment.date())
    columns = f"day, nullif(source, '') AS source, {', '.join(FIGURES)}"
    rest = "ORDER BY day DESC" if limit is None else f"ORDER BY day DESC LIMIT {int(limit)}"
    sql = f"SELECT {columns} FROM daily_statistics WHERE {conditions} {rest}"
    async with connection(database) as conn:
        return [DayStatistics(**row) for row in await conn.fetch(sql, *conditions.values)]


def statistics_key(day: DayStatistics) -> tuple[datetime, str]:
    """Returns what the list above is sorted by."""
    return datetime.combine(day.day, time(), UTC), day.source or ALL_MALLS


# The malls with most callbacks.
MALLS = f"""
SELECT day, source, {", ".join(FIGURES)} FROM daily_statistics
 WHERE day >= $1 AND source IN (
   SELECT source FROM daily_statistics WHERE day >= $1 AND source <> '' GROUP BY source
    HAVING sum(callback_attempts) > 0 ORDER BY sum(callback_attempts) DESC LIMIT $2)
 ORDER BY source, day
"""


async def list_mall_statistics(database: Database, since: date, limit: int) -> list[DayStatistics]:
    """Returns the days of the malls with most callbacks since a day, each mall's oldest first."""
    async with connection(database) as conn:
        return [DayStatistics(**row) for row in await conn.fetch(MALLS, since, limit)]
