"""Everything that happened to a team: in pages, with the acts on its callbacks and its campaign."""

from db.callbacks.redelivery import redeliver_event
from db.campaigns.shutdown import begin_shutdown
from db.teams.timeline import read_timeline
from domain.messages.acts import Act
from domain.messages.acts import command_line_author as author
from domain.messages.campaigns import BeginShutdown
from domain.schemas.timeline import TimelineKind
from tests.db.shop import NOW, SHOP_ADDRESS, Shop

ANN = author("ann")


async def test_pages_go_back_to_the_first_entry(shop: Shop) -> None:
    first, *_ = await shop.team(await shop.campaign(), locked=0, paid=3)
    everything = await read_timeline(shop.database, first.team_id)
    assert [entry.number for entry in everything] == list(range(1, len(everything) + 1))
    found = await read_timeline(shop.database, first.team_id, limit=4)
    while found[0].number > 1:
        found = await read_timeline(shop.database, first.team_id, before=found[0].number, limit=4) + found
    assert found == everything
    assert found[0].kind is TimelineKind.TEAM_OPENED


async def test_who_sent_a_callback_again_is_an_entry_of_its_team_and_order(shop: Shop) -> None:
    (first,) = await shop.team(await shop.campaign(), callback=SHOP_ADDRESS)
    await shop.release(first)
    event = (await shop.rows("SELECT event_id FROM events WHERE order_id = $1", first.order_id))[0]["event_id"]
    await redeliver_event(shop.database, event, None, NOW, Act(id="a" * 32, author=ANN, reason="lost"))
    for order_id in (None, first.order_id):
        [act] = [entry for entry in await read_timeline(shop.database, first.team_id, order_id) if entry.kind == "act"]
        assert (act.code, act.by, act.event_id, act.order_id) == ("resend", "ann", event, first.order_id)
        assert act.detail
        assert act.detail.startswith("lost")


async def test_the_end_of_its_campaign_is_an_entry_of_a_forming_team(shop: Shop) -> None:
    campaign = await shop.campaign()
    (first,) = await shop.team(campaign, locked=1)
    await begin_shutdown(shop.database, BeginShutdown(campaign_id=campaign.campaign_id, author=ANN, reason="sold out", now=NOW))
    [ended] = [entry for entry in await read_timeline(shop.database, first.team_id) if entry.kind == "campaign_ended"]
    assert (ended.by, ended.detail) == ("ann", "sold out")
