"""States that the schema refuses, whatever the code does."""

import asyncpg
import pytest

from db.core.connection import transaction
from tests.db.shop import SHOP_ADDRESS, Shop


@pytest.mark.parametrize(
    ("statement", "constraint"),
    [
        ("UPDATE teams SET lock_count = target_count + 1", "teams_counts_check"),
        ("UPDATE teams SET complete_count = lock_count + 1", "teams_counts_check"),
        ("UPDATE teams SET lock_count = -1, complete_count = -1", "teams_counts_check"),
        ("UPDATE teams SET status = 'open' WHERE status = 'forming'", "teams_status_check"),
        ("UPDATE teams SET status = 'completed' WHERE status = 'forming'", "teams_completed_check"),
        ("UPDATE teams SET status = 'failed' WHERE status = 'forming'", "teams_failed_check"),
        ("UPDATE teams SET completed_at = opened_at", "teams_completion_check"),
        ("UPDATE orders SET status = 'lost', live = false", "orders_status_check"),
        ("UPDATE orders SET live = false", "orders_live_check"),
        ("UPDATE orders SET status = 'cancelled', live = false", "orders_cancelled_check"),
        ("UPDATE orders SET status = 'cancelled', cancel_reason = 'buyer'", "orders_live_check"),
        ("UPDATE orders SET status = 'paid' WHERE status = 'locked'", "orders_paid_check"),
        ("UPDATE orders SET paid_amount = 80 WHERE status = 'locked'", "orders_payment_check"),
        ("UPDATE orders SET pay_price = 1", "orders_price_check"),
        ("UPDATE user_quotas SET live = -1", "user_quotas_live_check"),
        ("UPDATE campaign_stock SET live = stock + 1", "campaign_stock_live_check"),
        ("UPDATE campaign_stock SET live = -1", "campaign_stock_live_check"),
        ("UPDATE campaigns SET status = 'open'", "campaigns_status_check"),
        ("UPDATE goods SET original_price = 0", "goods_original_price_check"),
        ("UPDATE deliveries SET status = 'lost'", "deliveries_status_check"),
        ("UPDATE orders SET user_id = 'the same'", "orders_one_seat_idx"),
        ("UPDATE orders SET out_trade_no = 'the same'", "orders_source_out_trade_no_key"),
        ("UPDATE events SET sequence = 1", "events_source_sequence_key"),
        ("UPDATE events SET event_id = 'the same'", "events_event_id_key"),
        ("DELETE FROM teams", "orders_team_id_fkey"),
    ],
)
async def test_the_database_refuses(shop: Shop, statement: str, constraint: str) -> None:
    async with transaction(shop.database) as conn:
        await conn.execute("INSERT INTO goods (goods_id, name, original_price) VALUES ('g', 'Book', 1)")
    await shop.campaign()
    campaign = await shop.campaign(stock=10)
    members = await shop.team(campaign, paid=1, locked=1, callback=SHOP_ADDRESS)
    cancelled = await shop.team(await shop.campaign(), locked=2, callback=SHOP_ADDRESS)
    await shop.release(cancelled[0])

    one_team = f" WHERE team_id = '{members[0].team_id}'" if " orders " in statement and "WHERE" not in statement else ""
    with pytest.raises(asyncpg.IntegrityConstraintViolationError) as refused:
        async with transaction(shop.database) as conn:
            await conn.execute(statement + one_team)

    assert refused.value.constraint_name == constraint
