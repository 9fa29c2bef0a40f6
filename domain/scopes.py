"""What an API key may do."""

from collections.abc import Iterable
from enum import StrEnum


class Scope(StrEnum):
    READ = "read"
    """a mall's: reads and quotes"""
    TRADE = "trade"
    """a mall's: also locks, payments and refunds"""
    OPS = "ops"
    """of operations: everything but malls and keys"""
    ADMIN = "admin"
    """of operations: also malls and keys"""


MALL_SCOPES = frozenset({Scope.READ, Scope.TRADE})
OPERATIONS_SCOPES = frozenset({Scope.OPS, Scope.ADMIN})
INCLUDED = {Scope.TRADE: Scope.READ, Scope.ADMIN: Scope.OPS}


def expand_scopes(scopes: Iterable[Scope]) -> frozenset[Scope]:
    """Returns these scopes and those that they include."""
    given = frozenset(scopes)
    return given | {INCLUDED[scope] for scope in given if scope in INCLUDED}
