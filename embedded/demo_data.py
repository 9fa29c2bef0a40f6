"""The demo data: one mall, its goods and campaigns, among them a campaign for load and one with short times."""

from datetime import UTC, datetime
from decimal import Decimal

from db.campaigns.goods import save_goods
from db.campaigns.store import create_campaign, read_campaign
from db.core.connection import Database
from db.settings.audit import was_changed_by_others
from db.settings.keys import save_key
from db.settings.malls import MallRecord, move_callback, save_mall
from domain.lifecycle import CampaignStatus
from domain.networks import LOOPBACK
from domain.pricing import Discount, DiscountPlan
from domain.schemas.campaigns import DAY, MINUTE, CampaignGoods, NewCampaign
from domain.schemas.goods import Goods
from embedded.author import AUTHOR
from embedded.keys import DemoKeys

SOURCE, CHANNEL = "s01", "c01"
REQUEST_LIMIT = 100_000
"""per second; so high because benchmarks trade as the demo mall, too"""
DEMO_GOODS = (
    Goods(goods_id="9890001", name="MyBatis book", original_price=Decimal("100.00")),
    Goods(goods_id="9890002", name="MyBatis book, for load", original_price=Decimal("100.00")),
    Goods(goods_id="9890003", name="MyBatis book, in a hurry", original_price=Decimal("100.00")),
)


def campaign(
    campaign_id: int,
    name: str,
    goods_id: str,
    take_limit: int,
    *,
    lock_ttl: int = 15 * MINUTE,
    payment_grace: int = 30,
    team_ttl: int = DAY,
) -> NewCampaign:
    return NewCampaign(
        campaign_id=campaign_id,
        name=name,
        status=CampaignStatus.ACTIVE,
        starts_at=datetime(2024, 12, 7, tzinfo=UTC),
        ends_at=datetime(2039, 12, 7, tzinfo=UTC),
        goods=[CampaignGoods(source=SOURCE, channel=CHANNEL, goods_id=goods_id)],
        discount=Discount(plan=DiscountPlan.CUT, expr="20"),
        target_count=3,
        take_limit=take_limit,
        lock_ttl=lock_ttl,
        payment_grace=payment_grace,
        team_ttl=team_ttl,
    )


DEMO_CAMPAIGNS = (
    campaign(100123, "Read together", "9890001", take_limit=1),
    campaign(100124, "Read together, for load", "9890002", take_limit=100),
    # Shows a seat that times out and a team that fails within minutes, on the demo mall's page.
    campaign(100125, "Read together, in a hurry", "9890003", 100, lock_ttl=20, payment_grace=2, team_ttl=180),
)


async def seed(database: Database, mall_url: str, keys: DemoKeys) -> None:
    """Inserts what is missing. Keeps the changes of operators, except for the demo mall's callback address and keys."""
    now = datetime.now(UTC)
    callback = f"{mall_url}/callbacks"
    if await was_changed_by_others(database, f"mall/{SOURCE}", AUTHOR):
        await move_callback(database, SOURCE, "http://127.0.0.1:%/callbacks", callback, by=AUTHOR, now=now)
    else:
        mall = MallRecord(
            source=SOURCE,
            name="Demo mall",
            callback_url=callback,
            callback_hosts=("127.0.0.1", "localhost"),
            webhook_secrets=(keys.webhook_secret,),
            local=True,
            routing_key_prefixes=(f"{SOURCE}.", "demo_mall"),
            request_limit=REQUEST_LIMIT,
            legacy_networks=LOOPBACK,
        )
        await save_mall(database, mall, by=AUTHOR, now=now)
    await save_key(database, keys.mall_key, name="demo mall", source=SOURCE, by=AUTHOR, now=now)
    await save_key(database, keys.ops_key, name="demo operator", source=None, by=AUTHOR, now=now)
    for goods, new in zip(DEMO_GOODS, DEMO_CAMPAIGNS, strict=True):
        assert new.campaign_id is not None  # noqa: S101 - the demo campaigns have their ids
        if await read_campaign(database, new.campaign_id) is None:
            await save_goods(database, goods, by=AUTHOR, now=now)
            await create_campaign(database, new, by=AUTHOR, now=now)
