"""Malls and keys: who may call what (design.md section 8)."""

from collections.abc import Iterable
from enum import StrEnum
from typing import Annotated, Any, Self

from pydantic import AfterValidator, Field, model_validator

from domain.addresses import refused_url
from domain.trade import Callback, HttpCallback
from domain.values import Message, Moment, Name, Source


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


class NewKey(Message):
    """A key for a mall or, without `source`, for operations."""

    name: Name
    """what its changes are recorded under"""
    source: Source | None = None
    scopes: Annotated[list[Scope], Field(min_length=1, max_length=4)]

    @model_validator(mode="after")
    def _scopes_fit(self) -> Self:
        fitting = OF_OPERATIONS if self.source is None else OF_MALLS
        if wrong := set(self.scopes) - fitting:
            whose = "of operations" if self.source is None else "of a mall"
            raise ValueError(f"a key {whose} has the scopes {' or '.join(sorted(fitting))}, not {', '.join(sorted(wrong))}")
        return self


class Key(Message):
    """A key as administrators see it: never the key itself."""

    key_id: str
    name: str
    source: str | None
    scopes: list[Scope]
    created_at: Moment
    last_used_at: Moment | None
    """to about a minute"""
    revoked_at: Moment | None


class CreatedKey(Key):
    key: str
    """shown this once"""


def _lowered(hosts: list[str]) -> list[str]:
    return list(dict.fromkeys(host.lower() for host in hosts))


Host = Annotated[
    str, Field(min_length=1, max_length=253, pattern=r"^([A-Za-z0-9_]([A-Za-z0-9._-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])$")
]
Hosts = Annotated[list[Host], Field(max_length=100), AfterValidator(_lowered)]

REQUEST_LIMIT = 2000


class MallFields(Message):
    """What an administrator sets of a mall."""

    name: Name
    callback: Callback | None = None
    """where events go when an order names no callback of its own"""
    callback_hosts: Hosts = Field(default_factory=list)
    """hosts that a callback may go to, without ports"""
    local: Annotated[bool, Field(strict=True)] = False
    """its callbacks may go to private addresses"""
    request_limit: Annotated[int, Field(strict=True, ge=1, le=1_000_000)] = REQUEST_LIMIT
    """requests a second"""

    @model_validator(mode="after")
    def _callback_is_registered(self) -> Self:
        # By the same rule as an order's own callback: what it refuses would be called by nobody.
        if isinstance(self.callback, HttpCallback) and (refused := refused_url(str(self.callback.url), self.callback_hosts)):
            raise ValueError(f"callback.url: {refused}")
        return self


class Mall(MallFields):
    """A mall as administrators see it: never its secrets."""

    source: str
    webhook_secrets: int
    """how many are valid: two during rotation"""


class NewWebhookSecret(Message):
    webhook_secret: str
    """shown this once; signatures carry it from now on, beside the one before"""
    valid: int


class Change(Message):
    """What somebody changed: `content` is what the subject is from then on, whole."""

    change_no: int
    changed_at: Moment
    changed_by: str
    subject: str
    content: Any


class Switch(Message):
    name: str
    value: Any
    version: int
    """0: nobody has set it"""
    changed_by: str | None
    changed_at: Moment | None
