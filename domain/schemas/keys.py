"""The public JSON of API keys."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from domain.scopes import MALL_SCOPES, OPERATIONS_SCOPES, Scope
from domain.types import Moment, Name, Schema, Source


class NewKey(Schema):
    """A key to create: for a mall or, without `source`, for operations."""

    name: Name
    """names whoever changes something with this key, in the audit log"""
    source: Source | None = None
    scopes: Annotated[list[Scope], Field(min_length=1, max_length=4)]

    @model_validator(mode="after")
    def _scopes_are_of_one_kind(self) -> Self:
        allowed = OPERATIONS_SCOPES if self.source is None else MALL_SCOPES
        if wrong := set(self.scopes) - allowed:
            kind = "of operations" if self.source is None else "of a mall"
            raise ValueError(f"a key {kind} has the scopes {' or '.join(sorted(allowed))}, not {', '.join(sorted(wrong))}")
        return self


class Key(Schema):
    """An API key, without its secret."""

    key_id: str
    name: str
    source: str | None
    """null: a key for operations"""
    scopes: list[Scope]
    created_at: Moment
    last_used_at: Moment | None
    """accurate to about a minute"""
    revoked_at: Moment | None


class CreatedKey(Key):
    """A new API key with its secret."""

    key: str
    """the secret; it is not shown again"""
