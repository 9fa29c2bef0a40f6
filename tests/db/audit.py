"""What the audit has of a subject."""

from tests.db.shop import Shop

Entry = tuple[str, str, str | None, bool, str]

AUDIT = "SELECT action, changed_by, reason, changed, outcome FROM changes WHERE subject = $1 ORDER BY change_no"


async def audit_of(shop: Shop, subject: str) -> list[Entry]:
    """Action, operator, reason, whether it changed something, and what came of it; the oldest first."""
    rows = await shop.rows(AUDIT, subject)
    return [(row["action"], row["changed_by"], row["reason"], row["changed"], row["outcome"]) for row in rows]
