"""How a campaign goes is what its teams' rows say, and how often its price was asked for."""

from datetime import timedelta

from db.campaigns.funnel import Funnel, read_funnel
from db.statistics import QuoteKey, add_quotes
from domain.lifecycle import TeamDecision
from tests.db.shop import NOW, SOURCE, Shop


async def test_teams_and_seats_of_a_campaign_are_counted(shop: Shop) -> None:
    campaign = await shop.campaign(target_count=2, stock=10)
    assert await read_funnel(shop.database, campaign.campaign_id) == Funnel(0, 0, 0, 0, 0, 0, 0, 10, 0)
    await shop.team(campaign, paid=2, locked=0)
    await shop.team(campaign, paid=1, locked=1)
    closed = await shop.team(campaign, locked=1)
    await shop.conclude(closed[0], TeamDecision.CLOSE, NOW)
    await shop.team(await shop.campaign(), locked=1)
    for day in (NOW.date(), NOW.date() - timedelta(days=1)):
        await add_quotes(shop.database, {QuoteKey(day, SOURCE, campaign.campaign_id): 7, QuoteKey(day, SOURCE, 1): 1})
    assert await read_funnel(shop.database, campaign.campaign_id) == Funnel(
        quotes=14, teams=3, forming=1, completed=1, failed=1, live_seats=4, paid_seats=3, stock=10, stock_taken=4
    )
