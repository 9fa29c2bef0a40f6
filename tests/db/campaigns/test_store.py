"""Goods and campaigns: creating, changing and listing them, with versions and audit records."""

import json
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from pydantic import ValidationError

from db.campaigns.goods import read_goods, save_goods
from db.campaigns.store import CampaignFilter, change_campaign, create_campaign, list_campaigns, read_campaign
from domain.errors import ErrorCode, Refusal
from domain.lifecycle import CampaignStatus
from domain.messages.acts import command_line_author as author
from domain.schemas.campaigns import Campaign, CampaignGoods, NewCampaign
from domain.schemas.goods import Goods
from tests.db.shop import CHANNEL, NOW, PRICE, SOURCE, Shop

LATER = NOW + timedelta(hours=1)


async def change(shop: Shop, campaign: Campaign, by: str = "tests", **changes: Any) -> Campaign | ErrorCode:  # noqa: ANN401
    try:
        return await change_campaign(shop.database, campaign.campaign_id, changes, by=author(by), now=LATER)
    except Refusal as refusal:
        return refusal.code


async def changes_of(shop: Shop, subject: str) -> list[tuple[str, Any]]:
    rows = await shop.rows("SELECT changed_by, content FROM changes WHERE subject = $1 ORDER BY change_no", subject)
    return [(row["changed_by"], json.loads(row["content"])) for row in rows]


async def test_goods_are_saved_with_audit_records(shop: Shop) -> None:
    for name, by in (("Book", "ann"), ("Book, second edition", "bob")):
        await save_goods(shop.database, Goods(goods_id="b1", name=name, original_price=PRICE), by=author(by), now=NOW)

    found = await read_goods(shop.database, "b1")

    assert found == Goods(goods_id="b1", name="Book, second edition", original_price=PRICE)
    assert [(by, content["name"]) for by, content in await changes_of(shop, "goods/b1")] == [
        ("ann", "Book"),
        ("bob", "Book, second edition"),
    ]
    assert await read_goods(shop.database, "b2") is None


async def test_a_campaign_is_read_as_it_was_created(shop: Shop) -> None:
    await shop.audience("vip")
    campaign = await shop.campaign(
        stock=5, min_count=2, audience="vip", audience_scope=["join"], discount={"plan": "full_cut", "expr": "100,20"}
    )

    assert await read_campaign(shop.database, campaign.campaign_id) == campaign
    assert (campaign.version, campaign.updated_at) == (1, NOW)
    assert await read_campaign(shop.database, 1) is None
    assert await list_campaigns(shop.database, CampaignFilter(), None, 10) == [campaign]


async def test_campaigns_are_listed_by_id_highest_first(shop: Shop) -> None:
    ids = [(await shop.campaign(status=status)).campaign_id for status in ("active", "draft", "active", "paused")]

    async def listed(status: CampaignStatus | None, before: int | None, limit: int) -> list[int]:
        return [
            campaign.campaign_id
            for campaign in await list_campaigns(shop.database, CampaignFilter(status=status), before, limit)
        ]

    assert await listed(None, None, 10) == ids[::-1]
    assert await listed(None, ids[3], 2) == [ids[2], ids[1]]
    assert await listed(CampaignStatus.ACTIVE, None, 10) == [ids[2], ids[0]]


async def test_concurrently_created_campaigns_get_different_ids(shop: Shop) -> None:
    created = await shop.race(*(shop.campaign() for _ in range(10)))
    assert len({campaign.campaign_id for campaign in created}) == 10


async def test_a_used_campaign_id_is_refused(shop: Shop) -> None:
    campaign = await shop.campaign()

    with pytest.raises(Refusal) as refused:
        await shop.campaign(campaign_id=campaign.campaign_id)

    assert refused.value.code is ErrorCode.CAMPAIGN_CONFLICT
    assert await read_campaign(shop.database, campaign.campaign_id) == campaign


async def test_the_highest_possible_id_leaves_others_free(shop: Shop) -> None:
    await shop.campaign(campaign_id=2_147_483_647)

    assert (await shop.campaign()).campaign_id < 2_147_483_647


async def test_unknown_goods_are_refused_and_nothing_is_stored(shop: Shop) -> None:
    campaign = await shop.campaign()
    unknown = [{"source": SOURCE, "channel": CHANNEL, "goods_id": "nothing"}]

    assert await change(shop, campaign, goods=unknown, name="new") is ErrorCode.GOODS_NOT_FOUND
    new = NewCampaign.model_validate(campaign.changed({"goods": unknown}).model_dump())
    with pytest.raises(Refusal) as refused:
        await create_campaign(shop.database, new, by=author("tests"), now=NOW)

    assert refused.value.code is ErrorCode.GOODS_NOT_FOUND
    assert await list_campaigns(shop.database, CampaignFilter(), None, 10) == [campaign]
    assert len(await changes_of(shop, f"campaign/{campaign.campaign_id}")) == 1


async def test_one_campaign_at_a_time_sells_goods_in_a_channel(shop: Shop) -> None:
    for _ in range(10):
        running = await shop.campaign()
        drafts = [await shop.campaign(status="draft", goods=running.goods) for _ in range(4)]
        elsewhere = CampaignGoods(source=SOURCE, channel="c02", goods_id=running.goods[0].goods_id)
        for status in ("active", "paused", "draining"):
            assert isinstance(await change(shop, running, status=status), Campaign)
            assert await change(shop, drafts[0], status=status) is ErrorCode.CAMPAIGN_CONFLICT
        assert isinstance(await change(shop, drafts[0], status="active", goods=[elsewhere]), Campaign)

        # One that follows, which the one before must not reach into.
        follows: dict[str, Any] = {"starts_at": running.ends_at, "ends_at": running.ends_at + timedelta(days=1)}
        assert await change(shop, drafts[1], status="active", **follows | {"starts_at": NOW}) is ErrorCode.CAMPAIGN_CONFLICT
        assert isinstance(await change(shop, drafts[1], status="active", **follows), Campaign)
        assert await change(shop, running, ends_at=running.ends_at + timedelta(seconds=1)) is ErrorCode.CAMPAIGN_CONFLICT

        # Of several that are published for the time that one leaves, one is.
        assert isinstance(await change(shop, running, status="ended"), Campaign)
        answers = await shop.race(*(change(shop, draft, status="active") for draft in drafts[2:]))
        assert [answer for answer in answers if not isinstance(answer, Campaign)] == [ErrorCode.CAMPAIGN_CONFLICT]


async def test_a_campaign_that_is_probably_a_mistake_is_stored_when_it_is_confirmed(shop: Shop) -> None:
    campaign = await shop.campaign(status="draft", discount={"plan": "cut", "expr": "95"})

    assert await change(shop, campaign, status="active") is ErrorCode.CONFIRMATION_REQUIRED
    assert await read_campaign(shop.database, campaign.campaign_id) == campaign
    await change_campaign(shop.database, campaign.campaign_id, {"status": "active"}, by=author("ann"), now=NOW, confirmed=True)


async def test_another_price_of_goods_that_are_sold_is_stored_when_it_is_confirmed(shop: Shop) -> None:
    campaign = await shop.campaign(status="draft")
    goods_id = campaign.goods[0].goods_id

    async def put(price: int, *, confirmed: bool = False) -> ErrorCode | None:
        goods = Goods(goods_id=goods_id, name="Other", original_price=Decimal(price))
        try:
            await save_goods(shop.database, goods, by=author("tests"), now=NOW, confirmed=confirmed)
        except Refusal as refusal:
            assert (await read_goods(shop.database, goods_id)) != goods
            return refusal.code
        return None

    assert await put(99) is None
    await change(shop, campaign, status="paused")
    assert await put(99) is None
    assert await put(98) is ErrorCode.CONFIRMATION_REQUIRED
    assert await put(98, confirmed=True) is None
    await shop.execute("UPDATE campaigns SET ends_at = $1", NOW)
    assert await put(97) is None


async def test_concurrent_activations_for_the_same_goods_do_not_deadlock(shop: Shop) -> None:
    for _ in range(3):
        goods = [CampaignGoods(source=SOURCE, channel=CHANNEL, goods_id=await shop.goods()) for _ in range(8)]
        drafts = [await shop.campaign(status="draft") for _ in range(2)]
        wanted = (goods, goods[::-1])

        async def publish(draft: Campaign, sold: list[CampaignGoods]) -> Campaign | ErrorCode:
            return await shop.retried(lambda: change(shop, draft, status="active", goods=sold))

        answers = await shop.race(*(publish(draft, sold) for draft, sold in zip(drafts, wanted, strict=True)))

        assert [answer for answer in answers if not isinstance(answer, Campaign)] == [ErrorCode.CAMPAIGN_CONFLICT]
    assert shop.deadlocks == 0


async def test_concurrent_changes_all_apply_with_consecutive_versions(shop: Shop) -> None:
    for _ in range(10):
        campaign = await shop.campaign()
        changes = {"name": "New", "take_limit": 7, "stock": 70, "lock_ttl": 60, "payment_grace": 5, "min_count": 2}

        answers = await shop.race(*(change(shop, campaign, field, **{field: value}) for field, value in changes.items()))

        after = await read_campaign(shop.database, campaign.campaign_id)
        assert after is not None
        assert {field: getattr(after, field) for field in changes} == changes
        assert (after.version, after.updated_at) == (7, LATER)
        assert sorted(answer.version for answer in answers if isinstance(answer, Campaign)) == [2, 3, 4, 5, 6, 7]
        recorded = await changes_of(shop, f"campaign/{campaign.campaign_id}")
        assert [content["version"] for _, content in recorded] == [1, 2, 3, 4, 5, 6, 7]
        assert {by for by, _ in recorded} == {"tests", *changes}
        assert all(content[by] == changes[by] for by, content in recorded[1:])


async def test_an_invalid_change_stores_nothing(shop: Shop) -> None:
    campaign = await shop.campaign()

    with pytest.raises(ValidationError):
        await change(shop, campaign, target_count=1)

    assert await read_campaign(shop.database, campaign.campaign_id) == campaign
    assert await change(shop, campaign.model_copy(update={"campaign_id": 1})) is ErrorCode.CAMPAIGN_NOT_FOUND


async def test_a_stock_counts_live_orders_and_cannot_be_set_below_them(shop: Shop) -> None:
    campaign = await shop.campaign(target_count=4)
    members = await shop.team(campaign, paid=1, locked=2)

    assert await change(shop, campaign, stock=2) is ErrorCode.CAMPAIGN_CONFLICT
    assert (await read_campaign(shop.database, campaign.campaign_id)) == campaign
    assert isinstance(await change(shop, campaign, stock=3), Campaign)
    assert await shop.try_lock(shop.joiner(members[0])) is ErrorCode.STOCK_EXHAUSTED
    assert await change(shop, campaign, stock=2) is ErrorCode.CAMPAIGN_CONFLICT
    await shop.release(members[0])
    assert isinstance(await change(shop, campaign, stock=1), Campaign)
    assert isinstance(await change(shop, campaign, stock=None), Campaign)
    assert not isinstance(await shop.try_lock(shop.joiner(members[0])), ErrorCode)


async def test_a_lower_take_limit_applies_to_new_orders_only(shop: Shop) -> None:
    campaign = await shop.campaign(take_limit=3)
    for _ in range(2):
        await shop.lock(shop.opener(campaign, user="buyer"))

    await change(shop, campaign, take_limit=1)

    assert await shop.try_lock(shop.opener(campaign, user="buyer")) is ErrorCode.TAKE_LIMIT_REACHED
    await change(shop, campaign, take_limit=3)
    assert not isinstance(await shop.try_lock(shop.opener(campaign, user="buyer")), ErrorCode)
