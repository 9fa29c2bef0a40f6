"""The check of the invariants (docs/rules.md) that tests, benchmarks and operators share."""

from db.core.connection import Database, connection
from domain.types import Schema


class Violation(Schema):
    invariant: int
    """its number in docs/rules.md"""
    subject: str
    detail: str


async def violations(database: Database) -> list[Violation]:
    """Returns the invariants that are violated, in one snapshot; empty if all hold."""
    async with connection(database) as conn:
        return [Violation(**row) for row in await conn.fetch("SELECT * FROM groupbuy_invariants()")]
