"""Versions of campaigns: every change is recorded in the audit as the complete campaign."""

from db.core.connection import Connection, Database, connection
from db.settings.audit import FormAct, record_change
from domain.messages.acts import Author
from domain.schemas.campaigns import Campaign, CampaignVersion


async def record_version(conn: Connection, campaign: Campaign, by: Author, form: FormAct | None = None) -> None:
    """Records the campaign's present version, in the transaction that makes it."""
    await record_change(conn, f"campaign/{campaign.campaign_id}", campaign, by=by, now=campaign.updated_at, form=form)


VERSIONS = """
SELECT changed_by, changed_at, content FROM changes
 WHERE subject = $1 AND ($2::int IS NULL OR (content->>'version')::int < $2) ORDER BY change_no DESC LIMIT $3
"""


async def list_versions(database: Database, campaign_id: int, before: int | None, limit: int) -> list[CampaignVersion]:
    """Returns the versions below `before`, newest first."""
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
