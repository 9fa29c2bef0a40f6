"""Reads for the legacy format alone."""

from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network

from db.core.connection import Database, connection
from db.settings.keys import MallAccess

SOURCES = "SELECT source FROM malls"


async def known_sources(database: Database) -> set[str]:
    async with connection(database) as conn:
        return {row["source"] for row in await conn.fetch(SOURCES)}


@dataclass(frozen=True, slots=True)
class LegacyMall:
    """A mall for which the legacy format may be used."""

    access: MallAccess
    networks: tuple[IPv4Network | IPv6Network, ...]
    """from where"""


LEGACY_MALLS = """
SELECT source, callback_hosts, routing_key_prefixes, request_limit, legacy_networks FROM malls WHERE legacy_networks <> '{}'
"""


async def read_legacy_malls(database: Database, named: str) -> dict[str, LegacyMall]:
    """Returns the malls that use the legacy format, by source; `named` takes the place of a key's name in their access."""
    async with connection(database) as conn:
        rows = await conn.fetch(LEGACY_MALLS)
    return {
        row["source"]: LegacyMall(
            MallAccess(
                key_name=named,
                source=row["source"],
                callback=None,
                callback_hosts=frozenset(row["callback_hosts"]),
                routing_key_prefixes=tuple(row["routing_key_prefixes"]),
                request_limit=row["request_limit"],
            ),
            tuple(row["legacy_networks"]),
        )
        for row in rows
    }


OWN_NUMBERS = """
SELECT team_id, out_trade_no FROM orders WHERE team_id = ANY($1::text[]) AND user_id = $2 AND live
"""


async def own_numbers(database: Database, team_ids: list[str], user_id: str) -> dict[str, str]:
    """Returns the out_trade_no of the user's live order in each of these teams, by team id."""
    if not team_ids:
        return {}
    async with connection(database) as conn:
        return {row["team_id"]: row["out_trade_no"] for row in await conn.fetch(OWN_NUMBERS, team_ids, user_id)}
