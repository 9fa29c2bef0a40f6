"""The check that tests, the benchmark and operators share."""

from db.core.connection import Database, connection
from domain.types import Schema


class Violation(Schema):
    invariant: int
    """its number in docs/rules.md"""
    subject: str
    detail: str


async def violations(database: Database) -> list[Violation]:
    """What is broken, at one moment; nothing, if all is well."""
    async with connection(database) as conn:
        return [Violation(**row) for row in await conn.fetch("SELECT * FROM groupbuy_invariants()")]
