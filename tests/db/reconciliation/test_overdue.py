"""Reconciliation finds overdue teams and events, and nothing that is not overdue."""

from datetime import datetime, timedelta

from db.callbacks.deliveries import Attempt, pending_deliveries, record_attempt
from db.reconciliation.conditions import LATE_BY as LATE
from db.reconciliation.overdue import FIRST_ATTEMPT_WITHIN, overdue_events, overdue_teams
from db.settings.malls import MallRecord, save_mall
from domain.ids import team_id
from domain.lifecycle import TeamDecision
from domain.schemas.campaigns import CampaignGoods
from tests.db.shop import CHANNEL, DEADLINE, GRACE, NOW, OVERDUE, SHOP_ADDRESS, SOURCE, Shop

OTHER = "s02"
INSTANT = timedelta(microseconds=1)


async def late_teams(shop: Shop, now: datetime) -> list[str]:
    return await overdue_teams(shop.database, now, 9)


async def late_events(shop: Shop, now: datetime) -> list[str]:
    return (await overdue_events(shop.database, now, 9)).get(SOURCE, [])


async def test_a_team_with_an_overdue_seat_is_found(shop: Shop) -> None:
    (opener,) = await shop.team(await shop.campaign())

    assert await late_teams(shop, OVERDUE + LATE) == []
    assert await late_teams(shop, OVERDUE + LATE + INSTANT) == [opener.team_id]


async def test_a_forming_team_past_its_deadline_is_found(shop: Shop) -> None:
    opener, _ = await shop.team(await shop.campaign(), paid=2, locked=0)
    latest = DEADLINE + timedelta(seconds=GRACE)

    assert await late_teams(shop, latest + LATE) == []
    assert await late_teams(shop, latest + LATE + INSTANT) == [opener.team_id]
    await shop.conclude(opener, TeamDecision.DEADLINE, latest)
    assert await late_teams(shop, latest + 10 * LATE) == []


async def test_an_event_is_found_while_a_delivery_is_overdue(shop: Shop) -> None:
    (opener,) = await shop.team(await shop.campaign(), paid=1, locked=0, callback=SHOP_ADDRESS)
    ended = await shop.conclude(opener, TeamDecision.CLOSE, NOW)

    # Without any attempt: perhaps no workflow knows of it.
    assert await late_events(shop, NOW + FIRST_ATTEMPT_WITHIN) == []
    assert await late_events(shop, NOW + FIRST_ATTEMPT_WITHIN + INSTANT) == ended.event_ids
    (delivery,) = await pending_deliveries(shop.database, ended.event_ids)
    await record_attempt(shop.database, delivery, Attempt(NOW, 1, 500, "answered 500", "pending", NOW))
    assert await late_events(shop, NOW + LATE) == []
    assert await late_events(shop, NOW + LATE + INSTANT) == ended.event_ids
    for status in ("pending", "dead"):
        attempt = Attempt(NOW, 1, 500, "answered 500", status, NOW + timedelta(hours=1))
        await record_attempt(shop.database, delivery, attempt)
        assert await late_events(shop, NOW + LATE + INSTANT) == []
    assert await late_events(shop, NOW + timedelta(days=1)) == []


async def test_every_mall_gets_its_share(shop: Shop) -> None:
    """Of many overdue teams and events of one mall, and one of another that is overdue for less long."""
    goods = await shop.goods()
    await save_mall(shop.database, MallRecord(OTHER, "Other", None, ("127.0.0.1",), ("whsec_dGVzdHM=",), local=True))
    campaign = await shop.campaign(
        goods=[CampaignGoods(source=source, channel=CHANNEL, goods_id=goods) for source in (SOURCE, OTHER)]
    )
    for source in [*[SOURCE] * 4, OTHER]:
        for decision in (None, TeamDecision.CLOSE):
            number = shop.fresh("n")
            opener = shop.opener(campaign, number=number, callback=SHOP_ADDRESS)
            opener = opener.with_request(source=source, team_id=team_id(source, number))
            await shop.lock(opener)
            if decision:
                await shop.conclude(opener, decision, NOW + timedelta(hours=source == OTHER))
    await shop.execute("UPDATE teams SET deadline = deadline + interval '1 hour' WHERE source = $1", OTHER)

    events = await overdue_events(shop.database, DEADLINE, 3)
    teams = await overdue_teams(shop.database, DEADLINE + timedelta(days=1), 2)

    assert {mall: len(ids) for mall, ids in events.items()} == {SOURCE: 2, OTHER: 1}
    late_of_other = "SELECT count(*) FROM teams WHERE team_id = ANY($1) AND source = $2"
    assert await shop.value(late_of_other, teams, OTHER) == 1
