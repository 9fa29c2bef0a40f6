"""Redeliveries of a time range, step by step."""

from datetime import datetime, timedelta

from db.callbacks.mass_redelivery import begin_redelivery, next_slice, revive_slice
from db.callbacks.redelivery import RedeliverySlice
from domain.schemas.redeliveries import Redelivery, RedeliveryRange, RedeliveryStatus
from tests.acts import act_of
from tests.db.shop import SOURCE, Shop

SEED = """
WITH event AS (
  INSERT INTO events (event_id, source, type, team_id, data, occurred_at)
  SELECT format('evt_%s_%s', $1::text, number), $2, 'team.failed', 'none',
         '{"team_id": "none", "reason": "expired", "out_trade_nos": []}', $3::timestamptz + number / 7 * interval '1 second'
    FROM generate_series(1, $4::int) AS number
  RETURNING event_id, occurred_at
)
INSERT INTO deliveries (event_id, kind, address, format, status, attempts, since, next_attempt_at)
SELECT event_id, 'http', $6, 'standard', $5, 0, occurred_at, occurred_at FROM event
"""
"""Events of a mall, seven a second: name, source, first moment, count, status, address."""
THREE_DAYS = timedelta(days=3)


async def begin(
    shop: Shop, since: datetime, until: datetime, status: RedeliveryStatus, now: datetime, source: str = SOURCE
) -> Redelivery:
    wanted = RedeliveryRange(source=source, since=since, until=until, status=status)
    return await begin_redelivery(shop.database, wanted, act=act_of(), now=now, gives_up_at=now + THREE_DAYS)


async def revive_range(
    shop: Shop, since: datetime, until: datetime, status: RedeliveryStatus, now: datetime, source: str = SOURCE
) -> RedeliverySlice:
    """Makes due what matches, which is at most a slice; returns it."""
    redelivery = await begin(shop, since, until, status, now, source)
    slice_ = await next_slice(shop.database, redelivery.redelivery_id, now)
    if slice_ is None:
        assert redelivery.count == 0
        return RedeliverySlice([], [])
    assert await revive_slice(shop.database, redelivery.redelivery_id, slice_, now)
    assert redelivery.count == len(slice_.events.event_ids) + len(slice_.events.refunds)
    return slice_.events
