"""What a person may do in the console: the scopes of the key that they signed in with."""

from collections.abc import Collection
from enum import IntEnum

from domain.scopes import Scope


class Role(IntEnum):
    """Each role may do what those before it may."""

    VIEWER = 1
    """reads everything but malls and keys"""
    SUPPORT = 2
    """refunds within the refund window, sends again"""
    OPERATOR = 3
    """teams, campaigns, forced refunds, switches, audiences"""
    ADMIN = 4
    """malls and keys"""


SCOPES = {Scope.READ: Role.VIEWER, Scope.SUPPORT: Role.SUPPORT, Scope.OPS: Role.OPERATOR, Scope.ADMIN: Role.ADMIN}


def role_of(scopes: Collection[Scope]) -> Role | None:
    """Returns the highest role that a key of operations with these scopes has; None: it may not sign in."""
    return max((SCOPES[scope] for scope in scopes if scope in SCOPES), default=None)
