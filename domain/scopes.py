"""Malls and keys: who may call what (design.md section 8)."""

from collections.abc import Iterable
from enum import StrEnum


class Scope(StrEnum):
    """What a key may do."""

    READ = "read"
    """a mall's: read, and ask for quotes"""
    TRADE = "trade"
    """a mall's: also lock, pay and refund"""
    OPS = "ops"
    """operations: everything but malls and keys"""
    ADMIN = "admin"
    """operations: also malls and keys"""


OF_MALLS = frozenset({Scope.READ, Scope.TRADE})
OF_OPERATIONS = frozenset({Scope.OPS, Scope.ADMIN})
INCLUDED = {Scope.TRADE: Scope.READ, Scope.ADMIN: Scope.OPS}


def granted(scopes: Iterable[Scope]) -> frozenset[Scope]:
    """These, and what they include."""
    given = frozenset(scopes)
    return given | {INCLUDED[scope] for scope in given if scope in INCLUDED}
