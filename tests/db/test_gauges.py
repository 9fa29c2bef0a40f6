"""What metrics count: unfinished work exactly, trade since a moment."""

from datetime import timedelta
from decimal import Decimal

from db.gauges import read_open_work, read_trade
from domain.lifecycle import TeamDecision
from tests.db.refunds.test_refunds import DEAD
from tests.db.shop import NOW, OVERDUE, SHOP_ADDRESS, SOURCE, Shop


async def test_open_work_is_counted_by_kind_status_and_mall(shop: Shop) -> None:
    campaign = await shop.campaign(target_count=2)
    forming, *_ = await shop.team(campaign, paid=1, locked=0, callback=SHOP_ADDRESS)
    completed, *_ = await shop.team(campaign, paid=2, locked=0, callback=SHOP_ADDRESS)
    await shop.refund(forming)
    await shop.refund(completed)

    work = await read_open_work(shop.database)

    assert {(refunds.kind, refunds.status): (refunds.refunds, refunds.oldest) for refunds in work.refunds} == {
        ("paid_unformed", "awaiting_mall"): (1, NOW),
        ("paid_formed", "awaiting_mall"): (1, NOW),
    }
    # To the first one that its money goes back; of the second one that the team is complete, and the question.
    assert [(outbox.source, outbox.callbacks, outbox.oldest) for outbox in work.outboxes] == [(SOURCE, 3, NOW)]
    assert (work.attention, work.findings, work.teams_forming) == ({}, {}, 0)


async def test_attention_is_counted_as_it_is_listed(shop: Shop) -> None:
    member, *_ = await shop.team(await shop.campaign(), paid=1, locked=1, callback=SHOP_ADDRESS)
    await shop.try_settle(member, Decimal("79.00"))
    await shop.conclude(member, TeamDecision.CLOSE)
    await shop.execute(DEAD)

    work = await read_open_work(shop.database)

    assert work.attention == {"payment_conflict": 1, "callback": 2}
    assert work.outboxes == []


async def test_trade_counts_the_orders_and_teams_since_a_moment(shop: Shop) -> None:
    campaign = await shop.campaign(starts_at=NOW - timedelta(days=3))
    opener, *_ = await shop.team(campaign, paid=2, locked=1)
    await shop.release(opener)
    await shop.lock(shop.opener(campaign), NOW - timedelta(days=2))

    trade = await read_trade(shop.database, OVERDUE - timedelta(days=1))

    assert trade.teams == {"forming": 1}
    assert trade.orders == {"paid": 2, "cancelled": 1}
    assert trade.amounts == {"paid": Decimal("160.00"), "cancelled": Decimal("80.00")}
    assert trade.cancelled == {"lock_timeout": 1}
