"""Goods and campaigns as operators set them; every change is kept, whole, with who and when."""

import json
from datetime import datetime
from typing import Any

import asyncpg

from db.core.connection import Connection, Database, Row, connection, transaction
from db.settings.audit import record_change
from domain.campaigns import campaign_risks, require_confirmation
from domain.errors import ErrorCode, Refusal
from domain.lifecycle import CampaignStatus, require_transition
from domain.schemas.campaigns import Campaign, CampaignFields, CampaignVersion, NewCampaign

FREE_CAMPAIGN_ID = "SELECT coalesce(max(campaign_id), 100000) + 1 FROM campaigns WHERE campaign_id < 1000000000"
CAMPAIGN_IDS = 7_242_004

COLUMNS = (
    "campaign_id", "version", "name", "status", "starts_at", "ends_at", "target_count", "min_count", "lock_ttl",
    "payment_grace", "team_ttl", "refund_window", "take_limit", "stock", "discount", "audience", "audience_scope",
    "currency", "updated_at",
)  # fmt: skip
INSERT_CAMPAIGN = f"""
INSERT INTO campaigns ({", ".join(COLUMNS)}) VALUES ({", ".join(f"${n}" for n in range(1, len(COLUMNS) + 1))})
"""
UPDATE_CAMPAIGN = f"""
UPDATE campaigns SET ({", ".join(COLUMNS[1:])}) = ({", ".join(f"${n}" for n in range(2, len(COLUMNS) + 1))})
 WHERE campaign_id = $1
"""


async def create_campaign(database: Database, new: NewCampaign, *, by: str, now: datetime, confirmed: bool = False) -> Campaign:
    """Publishes a campaign under its own id, or under the next free one.

    Raises:
        Refusal: campaign_conflict (the id is taken, or another active campaign sells these goods there), goods_not_found,
            audience_not_found.
        ConfirmationRequired: it may lose money, and this is not `confirmed`.
    """
    async with transaction(database) as conn:
        await conn.execute("SELECT pg_advisory_xact_lock($1)", CAMPAIGN_IDS)
        campaign_id = new.campaign_id or await conn.fetchval(FREE_CAMPAIGN_ID)
        campaign = Campaign(**_fields(new), campaign_id=campaign_id, version=1, updated_at=now)
        try:
            await conn.execute(INSERT_CAMPAIGN, *_values(campaign))
        except asyncpg.UniqueViolationError:
            raise Refusal(ErrorCode.CAMPAIGN_CONFLICT, f"There is a campaign {campaign_id} already.") from None
        await _require_audiences(conn, campaign)
        await _save_goods_and_stock(conn, campaign)
        require_confirmation(campaign_risks(None, campaign, now), confirmed=confirmed)
        await record_version(conn, campaign, by)
    return campaign


# Every statement that changes a live order writes its quota, too. So whoever begins to count a campaign's stock waits for those
# under way, and those to come see that it is counted. Before any row.
NO_SEAT_CHANGES = "LOCK TABLE user_quotas IN SHARE MODE"

LOCK_CAMPAIGN = "SELECT * FROM campaigns WHERE campaign_id = $1 FOR UPDATE"
GOODS_OF = "SELECT source, channel, goods_id FROM campaign_goods WHERE campaign_id = $1 ORDER BY source, channel, goods_id"


async def change_campaign(
    database: Database,
    campaign_id: int,
    changes: dict[str, Any],
    *,
    by: str,
    now: datetime,
    confirmed: bool = False,
) -> Campaign:
    """Applies some fields to a campaign. Running teams keep the terms that they were opened under.

    Raises:
        Refusal: campaign_not_found, campaign_conflict, goods_not_found, audience_not_found.
        ConfirmationRequired: the change may lose money, and is not `confirmed`.
        pydantic.ValidationError: the fields do not fit together.
    """
    async with transaction(database) as conn:
        if "stock" in changes:
            await conn.execute(NO_SEAT_CHANGES)
        before = await lock_campaign(conn, campaign_id)
        fields = before.changed(changes)
        require_transition(before.status, fields.status)
        campaign = Campaign(**_fields(fields), campaign_id=campaign_id, version=before.version + 1, updated_at=now)
        await conn.execute(UPDATE_CAMPAIGN, *_values(campaign))
        await _require_audiences(conn, campaign)
        await _save_goods_and_stock(conn, campaign)
        await record_version(conn, campaign, by)
        require_confirmation(campaign_risks(before, campaign, now), confirmed=confirmed)
    return campaign


async def lock_campaign(conn: Connection, campaign_id: int) -> Campaign:
    """The campaign as it is until this transaction ends.

    Raises:
        Refusal: campaign_not_found.
    """
    found = await _read(conn, LOCK_CAMPAIGN, campaign_id)
    if found is None:
        raise Refusal(ErrorCode.CAMPAIGN_NOT_FOUND, f"There is no campaign {campaign_id}.")
    return found


READ_CAMPAIGN = "SELECT * FROM campaigns WHERE campaign_id = $1"


async def read_campaign(database: Database, campaign_id: int) -> Campaign | None:
    async with connection(database) as conn:
        return await _read(conn, READ_CAMPAIGN, campaign_id)


VERSIONS = """
SELECT changed_by, changed_at, content FROM changes
 WHERE subject = $1 AND ($2::int IS NULL OR (content->>'version')::int < $2) ORDER BY change_no DESC LIMIT $3
"""


async def list_versions(database: Database, campaign_id: int, before: int | None, limit: int) -> list[CampaignVersion]:
    """What a campaign was, the newest version first, those below `before`."""
    async with connection(database) as conn:
        rows = await conn.fetch(VERSIONS, f"campaign/{campaign_id}", before, limit)
    return [
        CampaignVersion(
            changed_by=row["changed_by"],
            changed_at=row["changed_at"],
            campaign=Campaign.model_validate_json(row["content"]),
        )
        for row in rows
    ]


async def read_version(database: Database, campaign_id: int, version: int) -> CampaignVersion | None:
    found = await list_versions(database, campaign_id, version + 1, 1)
    return found[0] if found and found[0].campaign.version == version else None


LIST_CAMPAIGNS = """
SELECT * FROM campaigns
 WHERE ($1::text IS NULL OR status = $1) AND ($2::int IS NULL OR campaign_id < $2)
 ORDER BY campaign_id DESC LIMIT $3
"""
GOODS_OF_ALL = """
SELECT campaign_id, source, channel, goods_id FROM campaign_goods WHERE campaign_id = ANY($1::int[])
 ORDER BY source, channel, goods_id
"""


async def list_campaigns(database: Database, status: CampaignStatus | None, before: int | None, limit: int) -> list[Campaign]:
    """The highest campaign_id first, those below `before`."""
    async with connection(database) as conn:
        rows = await conn.fetch(LIST_CAMPAIGNS, status, before, limit)
        places = await conn.fetch(GOODS_OF_ALL, [row["campaign_id"] for row in rows])
    return [_campaign(row, [place for place in places if place["campaign_id"] == row["campaign_id"]]) for row in rows]


def _fields(campaign: CampaignFields) -> dict[str, Any]:
    return {name: getattr(campaign, name) for name in CampaignFields.model_fields}


def _values(campaign: Campaign) -> list[Any]:
    return [campaign.discount.model_dump_json() if name == "discount" else getattr(campaign, name) for name in COLUMNS]


async def _read(conn: Connection, sql: str, campaign_id: int) -> Campaign | None:
    row = await conn.fetchrow(sql, campaign_id)
    return _campaign(row, await conn.fetch(GOODS_OF, campaign_id)) if row else None


def _campaign(row: Row, places: list[Row]) -> Campaign:
    goods = [{name: place[name] for name in ("source", "channel", "goods_id")} for place in places]
    return Campaign.model_validate({**row, "discount": json.loads(row["discount"]), "goods": goods})


# No audience is ever deleted, so one that is there stays.
KNOWN_AUDIENCES = "SELECT audience_id FROM audiences WHERE audience_id = ANY($1::text[])"


async def _require_audiences(conn: Connection, campaign: Campaign) -> None:
    wanted = {named for named in (campaign.audience, campaign.discount.audience) if named is not None}
    known = {row["audience_id"] for row in await conn.fetch(KNOWN_AUDIENCES, list(wanted))} if wanted else wanted
    if missing := wanted - known:
        raise Refusal(ErrorCode.AUDIENCE_NOT_FOUND, f"There is no audience {', '.join(sorted(missing))}.")


REMOVE_GOODS = "DELETE FROM campaign_goods WHERE campaign_id = $1"
SAVE_PLACE = "INSERT INTO campaign_goods (campaign_id, source, channel, goods_id, active) VALUES ($1, $2, $3, $4, $5)"
KNOWN_GOODS = "SELECT goods_id FROM goods WHERE goods_id = ANY($1::text[])"

DROP_STOCK = "DELETE FROM campaign_stock WHERE campaign_id = $1"
CHANGE_STOCK = "UPDATE campaign_stock SET stock = $2 WHERE campaign_id = $1 RETURNING campaign_id"
BEGIN_STOCK = """
INSERT INTO campaign_stock (campaign_id, stock, live)
SELECT $1, $2, (SELECT count(*) FROM orders WHERE campaign_id = $1 AND live)
"""


async def _save_goods_and_stock(conn: Connection, campaign: Campaign) -> None:
    wanted = {place.goods_id for place in campaign.goods}
    known = {row["goods_id"] for row in await conn.fetch(KNOWN_GOODS, list(wanted))}
    if missing := wanted - known:
        raise Refusal(ErrorCode.GOODS_NOT_FOUND, f"There are no goods {', '.join(sorted(missing))}.")
    await conn.execute(REMOVE_GOODS, campaign.campaign_id)
    active = campaign.status is CampaignStatus.ACTIVE
    try:
        for place in sorted(campaign.goods, key=lambda place: (place.source, place.channel, place.goods_id)):
            await conn.execute(SAVE_PLACE, campaign.campaign_id, place.source, place.channel, place.goods_id, active)
    except asyncpg.UniqueViolationError:
        raise Refusal(
            ErrorCode.CAMPAIGN_CONFLICT,
            f"Another active campaign sells {place.goods_id} in channel {place.channel} of {place.source}.",
        ) from None
    if campaign.stock is None:
        await conn.execute(DROP_STOCK, campaign.campaign_id)
        return
    try:
        if await conn.fetchval(CHANGE_STOCK, campaign.campaign_id, campaign.stock) is None:
            await conn.execute(BEGIN_STOCK, campaign.campaign_id, campaign.stock)
    except asyncpg.CheckViolationError:
        raise Refusal(ErrorCode.CAMPAIGN_CONFLICT, f"More than {campaign.stock} orders of this campaign are live.") from None


async def record_version(conn: Connection, campaign: Campaign, by: str) -> None:
    subject = f"campaign/{campaign.campaign_id}"
    await record_change(conn, subject, campaign, by=by, now=campaign.updated_at)
