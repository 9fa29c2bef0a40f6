"""What an API key may do."""

from collections.abc import Iterable
from enum import StrEnum


class Scope(StrEnum):
    READ = "read"
    """a mall's: reads and quotes; of operations: reads everything but malls and keys"""
    TRADE = "trade"
    """a mall's: also locks, payments and refunds"""
    SUPPORT = "support"
    """of operations: also refunds within the refund window, and sends again"""
    OPS = "ops"
    """of operations: everything but malls and keys"""
    ADMIN = "admin"
    """of operations: also malls and keys"""


MALL_SCOPES = frozenset({Scope.READ, Scope.TRADE})
OPERATIONS_SCOPES = frozenset({Scope.READ, Scope.SUPPORT, Scope.OPS, Scope.ADMIN})
INCLUDED = {Scope.TRADE: Scope.READ, Scope.ADMIN: Scope.OPS, Scope.OPS: Scope.SUPPORT, Scope.SUPPORT: Scope.READ}
"""what a scope includes, beside what that one includes in turn"""


def expand_scopes(scopes: Iterable[Scope]) -> frozenset[Scope]:
    """Returns these scopes and those that they include."""
    found = set(scopes)
    pending = list(found)
    while pending:
        if (included := INCLUDED.get(pending.pop())) is not None and included not in found:
            found.add(included)
            pending.append(included)
    return frozenset(found)
