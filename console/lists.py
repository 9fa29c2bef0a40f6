"""The lists that open pages follow: what the first page of each shows, as a number that changes with it."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from zlib import crc32

from db.attention import group_attention, list_attention
from db.callbacks.queries import CallbackFilter, list_callbacks
from db.core.connection import Database
from db.orders.queries import OrderFilter, list_ops_orders
from db.refunds.queries import RefundFilter, list_refunds
from db.teams.queries import TeamFilter, list_teams
from domain.schemas.attention import AttentionKind

ROWS = 50
"""of a page; one more is read, which says whether there is another page"""
OF_EACH_KIND = 10
"""shown of what waits for a person; one more is read"""


@dataclass(frozen=True, slots=True)
class AttentionFilter:
    kind: AttentionKind | None
    """None: the oldest of every kind"""


ListFilter = TeamFilter | OrderFilter | RefundFilter | CallbackFilter | AttentionFilter


async def list_versions(database: Database, filters: Collection[ListFilter]) -> dict[ListFilter, int]:
    return {each: version(await _first_rows(database, each)) for each in filters}


def version(rows: Sequence[object]) -> int:
    """Returns a number of the rows of a first page, which is the same in every process."""
    return crc32(repr(rows).encode())


async def _first_rows(database: Database, filters: ListFilter) -> Sequence[object]:
    match filters:
        case TeamFilter():
            return await list_teams(database, filters, None, ROWS + 1)
        case OrderFilter():
            return await list_ops_orders(database, filters, None, ROWS + 1)
        case RefundFilter():
            return await list_refunds(database, filters, None, ROWS + 1)
        case CallbackFilter():
            return await list_callbacks(database, filters, None, ROWS + 1)
        case AttentionFilter(kind=None):
            return await group_attention(database, OF_EACH_KIND + 1)
        case AttentionFilter(kind=kind):
            return await list_attention(database, None, ROWS + 1, kind, oldest_first=True)
