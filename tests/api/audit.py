"""What the audit has of a subject, over HTTP."""

from tests.api.shop import Json, Shop


async def audit_of(shop: Shop, subject: str) -> list[Json]:
    """The acts on it, the oldest first."""
    told: list[Json] = (await shop.ops.get("/v1/ops/audit", subject=subject, limit=100)).ok()["data"]
    return told[::-1]
