"""Campaigns as operators create, change and list them; every change is recorded as a version."""

import json
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

import asyncpg

from db.campaigns.versions import record_version
from db.core.connection import Connection, Database, Row, connection, transaction
from db.settings.audit import FormAct, find_changed, is_repeat
from domain.campaigns import campaign_risks, require_confirmation
from domain.errors import ErrorCode, Refusal
from domain.lifecycle import SELLING, CampaignStatus, require_transition
from domain.messages.acts import Author
from domain.schemas.campaigns import Campaign, CampaignFields, NewCampaign

FREE_CAMPAIGN_ID = "SELECT coalesce(max(campaign_id), 100000) + 1 FROM campaigns WHERE campaign_id < 1000000000"
ONE_CHANGE_AT_A_TIME = "SELECT pg_advisory_xact_lock(7242004)"
"""ids, windows and prices are checked against other campaigns; taken before any row lock"""

COLUMNS = (
    "campaign_id", "version", "name", "status", "starts_at", "ends_at", "target_count", "min_count", "lock_ttl",
    "payment_grace", "team_ttl", "refund_window", "take_limit", "stock", "discount", "merchant_share", "audience",
    "audience_scope", "currency", "updated_at",
)  # fmt: skip
INSERT_CAMPAIGN = f"""
INSERT INTO campaigns ({", ".join(COLUMNS)}) VALUES ({", ".join(f"${n}" for n in range(1, len(COLUMNS) + 1))})
"""
UPDATE_CAMPAIGN = f"""
UPDATE campaigns SET ({", ".join(COLUMNS[1:])}) = ({", ".join(f"${n}" for n in range(2, len(COLUMNS) + 1))})
 WHERE campaign_id = $1
"""


async def create_campaign(
    database: Database,
    new: NewCampaign,
    *,
    by: Author,
    now: datetime,
    confirmed: bool = False,
    form: FormAct | None = None,
) -> Campaign:
    """Creates a campaign under its own id, or under the next free one; the same act again returns the campaign that it made.

    Raises:
        Refusal: campaign_conflict (the id is taken, or another campaign sells these goods in the same channel and time),
            goods_not_found, audience_not_found.
        ConfirmationRequired: it has a risk (domain/campaigns.py), and the request is not `confirmed`.
    """
    async with transaction(database) as conn:
        await conn.execute(ONE_CHANGE_AT_A_TIME)
        if form is not None and (made := await find_changed(conn, "campaign", form.act_id)) is not None:
            return await lock_campaign(conn, int(made))
        campaign_id = new.campaign_id or await conn.fetchval(FREE_CAMPAIGN_ID)
        campaign = Campaign(**_fields(new), campaign_id=campaign_id, version=1, updated_at=now)
        try:
            await conn.execute(INSERT_CAMPAIGN, *_values(campaign))
        except asyncpg.UniqueViolationError:
            raise Refusal(ErrorCode.CAMPAIGN_CONFLICT, f"There is a campaign {campaign_id} already.") from None
        await _require_audiences(conn, campaign)
        prices = await _save_goods(conn, campaign)
        await _save_stock(conn, campaign)
        require_confirmation(campaign_risks(None, campaign, prices, now), confirmed=confirmed)
        await record_version(conn, campaign, by, form)
    return campaign


# Every statement that takes or releases a seat writes its user's quota, so this lock waits for those in progress and blocks new
# ones until commit.
BLOCK_SEAT_CHANGES = "LOCK TABLE user_quotas IN SHARE MODE"
# While it waits, all seat changes wait behind it. One that has stalled must not stop them all.
BLOCK_WITHIN = "SET LOCAL lock_timeout = '500ms'"


async def block_seat_changes(conn: Connection) -> None:
    """Keeps every seat as it is until the transaction ends. Called before any row lock, or it could deadlock with them.

    Raises:
        LockNotAvailableError: a seat change in progress does not end.
    """
    await conn.execute(BLOCK_WITHIN)
    await conn.execute(BLOCK_SEAT_CHANGES)


LOCK_CAMPAIGN = "SELECT * FROM campaigns WHERE campaign_id = $1 FOR UPDATE"
GOODS_OF = "SELECT source, channel, goods_id FROM campaign_goods WHERE campaign_id = $1 ORDER BY source, channel, goods_id"


async def change_campaign(
    database: Database,
    campaign_id: int,
    changes: dict[str, Any],
    *,
    by: Author,
    now: datetime,
    confirmed: bool = False,
    form: FormAct | None = None,
) -> Campaign:
    """Changes some fields of a campaign; the same form again changes nothing. Running teams keep their terms.

    Raises:
        ChangedSinceError: the campaign is not as it was when the form was shown.
        Refusal: campaign_not_found, campaign_conflict, goods_not_found, audience_not_found.
        ConfirmationRequired: the change has a risk (domain/campaigns.py), and the request is not `confirmed`.
        pydantic.ValidationError: the fields contradict each other.
    """
    async with transaction(database) as conn:
        await conn.execute(ONE_CHANGE_AT_A_TIME)
        if "stock" in changes:
            # A new stock counter starts at the number of live orders: none may come or go while they are counted.
            await block_seat_changes(conn)
        before = await lock_campaign(conn, campaign_id)
        if await is_repeat(conn, f"campaign/{campaign_id}", form):
            return before
        fields = before.changed(changes)
        require_transition(before.status, fields.status)
        campaign = Campaign(**_fields(fields), campaign_id=campaign_id, version=before.version + 1, updated_at=now)
        await conn.execute(UPDATE_CAMPAIGN, *_values(campaign))
        await _require_audiences(conn, campaign)
        prices = await _save_goods(conn, campaign)
        await _save_stock(conn, campaign)
        await record_version(conn, campaign, by, form)
        require_confirmation(campaign_risks(before, campaign, prices, now), confirmed=confirmed)
    return campaign


async def lock_campaign(conn: Connection, campaign_id: int) -> Campaign:
    """Locks the campaign's row until the transaction ends, and returns the campaign.

    Raises:
        Refusal: campaign_not_found.
    """
    campaign = await _read(conn, LOCK_CAMPAIGN, campaign_id)
    if campaign is None:
        raise Refusal(ErrorCode.CAMPAIGN_NOT_FOUND, f"There is no campaign {campaign_id}.")
    return campaign


READ_CAMPAIGN = "SELECT * FROM campaigns WHERE campaign_id = $1"


async def read_campaign(database: Database, campaign_id: int) -> Campaign | None:
    async with connection(database) as conn:
        return await _read(conn, READ_CAMPAIGN, campaign_id)


LIST_CAMPAIGNS = """
SELECT * FROM campaigns c
 WHERE ($1::text IS NULL OR status = $1) AND ($2::int IS NULL OR campaign_id < $2)
   AND (coalesce($4::text, $5::text) IS NULL
        OR EXISTS (SELECT FROM campaign_goods b WHERE b.campaign_id = c.campaign_id
                      AND ($4 IS NULL OR b.source = $4) AND ($5 IS NULL OR b.goods_id = $5)))
 ORDER BY campaign_id DESC LIMIT $3
"""
GOODS_OF_ALL = """
SELECT campaign_id, source, channel, goods_id FROM campaign_goods WHERE campaign_id = ANY($1::int[])
 ORDER BY source, channel, goods_id
"""


@dataclass(frozen=True, slots=True)
class CampaignFilter:
    status: CampaignStatus | None = None
    source: str | None = None
    """a mall that it sells in"""
    goods_id: str | None = None


async def list_campaigns(database: Database, filters: CampaignFilter, before: int | None, limit: int) -> list[Campaign]:
    """Returns campaigns with an id below `before`, highest id first."""
    async with connection(database) as conn:
        rows = await conn.fetch(LIST_CAMPAIGNS, filters.status, before, limit, filters.source, filters.goods_id)
        goods = await conn.fetch(GOODS_OF_ALL, [row["campaign_id"] for row in rows])
    return [_campaign(row, [sold for sold in goods if sold["campaign_id"] == row["campaign_id"]]) for row in rows]


def _fields(campaign: CampaignFields) -> dict[str, Any]:
    return {name: getattr(campaign, name) for name in CampaignFields.model_fields}


def _values(campaign: Campaign) -> list[Any]:
    return [campaign.discount.model_dump_json() if name == "discount" else getattr(campaign, name) for name in COLUMNS]


async def _read(conn: Connection, sql: str, campaign_id: int) -> Campaign | None:
    row = await conn.fetchrow(sql, campaign_id)
    return _campaign(row, await conn.fetch(GOODS_OF, campaign_id)) if row else None


def _campaign(row: Row, goods: list[Row]) -> Campaign:
    sold = [{name: entry[name] for name in ("source", "channel", "goods_id")} for entry in goods]
    return Campaign.model_validate({**row, "discount": json.loads(row["discount"]), "goods": sold})


# Audiences are never deleted, so an existing one needs no lock.
KNOWN_AUDIENCES = "SELECT audience_id FROM audiences WHERE audience_id = ANY($1::text[])"


async def _require_audiences(conn: Connection, campaign: Campaign) -> None:
    named = {audience for audience in (campaign.audience, campaign.discount.audience) if audience is not None}
    known = {row["audience_id"] for row in await conn.fetch(KNOWN_AUDIENCES, list(named))} if named else named
    if missing := named - known:
        raise Refusal(ErrorCode.AUDIENCE_NOT_FOUND, f"There is no audience {', '.join(sorted(missing))}.")


REMOVE_GOODS = "DELETE FROM campaign_goods WHERE campaign_id = $1"
ADD_GOODS = """
INSERT INTO campaign_goods (campaign_id, source, channel, goods_id)
SELECT $1, * FROM unnest($2::text[], $3::text[], $4::text[])
"""
PRICES = "SELECT goods_id, original_price FROM goods WHERE goods_id = ANY($1::text[])"
# Twin of domain.lifecycle.SELLING.
IS_SELLING = "c.status IN ('active', 'paused', 'draining')"
OVERLAPPING = f"""
SELECT c.campaign_id, c.status, c.starts_at, c.ends_at, mine.source, mine.channel, mine.goods_id
  FROM campaign_goods mine JOIN campaign_goods other USING (source, channel, goods_id)
  JOIN campaigns c ON c.campaign_id = other.campaign_id
 WHERE mine.campaign_id = $1 AND other.campaign_id <> $1 AND {IS_SELLING} AND c.starts_at < $3 AND c.ends_at > $2
 ORDER BY c.starts_at, c.campaign_id LIMIT 1
"""


async def _save_goods(conn: Connection, campaign: Campaign) -> dict[str, Decimal]:
    """Saves which goods the campaign sells where; returns their prices."""
    named = {goods.goods_id for goods in campaign.goods}
    prices = {row["goods_id"]: row["original_price"] for row in await conn.fetch(PRICES, list(named))}
    if missing := named - prices.keys():
        raise Refusal(ErrorCode.GOODS_NOT_FOUND, f"There are no goods {', '.join(sorted(missing))}.")
    await conn.execute(REMOVE_GOODS, campaign.campaign_id)
    columns = zip(*((goods.source, goods.channel, goods.goods_id) for goods in campaign.goods), strict=True)
    await conn.execute(ADD_GOODS, campaign.campaign_id, *columns)
    if campaign.status in SELLING:
        await _require_free_window(conn, campaign)
    return prices


async def _require_free_window(conn: Connection, campaign: Campaign) -> None:
    """ONE_CHANGE_AT_A_TIME makes this check hold until commit."""
    other = await conn.fetchrow(OVERLAPPING, campaign.campaign_id, campaign.starts_at, campaign.ends_at)
    if other is not None:
        raise Refusal(
            ErrorCode.CAMPAIGN_CONFLICT,
            f"Campaign {other['campaign_id']} ({other['status']}) sells {other['goods_id']} in channel {other['channel']} of "
            f"{other['source']} from {other['starts_at']:%Y-%m-%d %H:%M:%S} to {other['ends_at']:%Y-%m-%d %H:%M:%S} UTC.",
        )


DELETE_STOCK = "DELETE FROM campaign_stock WHERE campaign_id = $1"
UPDATE_STOCK = "UPDATE campaign_stock SET stock = $2 WHERE campaign_id = $1 RETURNING campaign_id"
LIVE_ORDERS = """
(SELECT count(*) FROM orders WHERE campaign_id = $1 AND live)
+ (SELECT coalesce(sum(removed), 0) FROM user_quotas WHERE campaign_id = $1)"""
"""SQL: how many orders count against the stock of campaign $1"""
INSERT_STOCK = f"INSERT INTO campaign_stock (campaign_id, stock, live) SELECT $1, $2, {LIVE_ORDERS}"


async def _save_stock(conn: Connection, campaign: Campaign) -> None:
    if campaign.stock is None:
        await conn.execute(DELETE_STOCK, campaign.campaign_id)
        return
    try:
        if await conn.fetchval(UPDATE_STOCK, campaign.campaign_id, campaign.stock) is None:
            await conn.execute(INSERT_STOCK, campaign.campaign_id, campaign.stock)
    except asyncpg.CheckViolationError:
        raise Refusal(ErrorCode.CAMPAIGN_CONFLICT, f"More than {campaign.stock} orders of this campaign are live.") from None
