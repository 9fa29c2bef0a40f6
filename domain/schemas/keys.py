"""Malls and keys: who may call what (design.md section 8)."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from domain.scopes import MALL_SCOPES, OPERATIONS_SCOPES, Scope
from domain.types import Moment, Name, Schema, Source


class NewKey(Schema):
    """A key for a mall or, without `source`, for operations."""

    name: Name
    """what its changes are recorded under"""
    source: Source | None = None
    scopes: Annotated[list[Scope], Field(min_length=1, max_length=4)]

    @model_validator(mode="after")
    def _scopes_fit(self) -> Self:
        fitting = OPERATIONS_SCOPES if self.source is None else MALL_SCOPES
        if wrong := set(self.scopes) - fitting:
            whose = "of operations" if self.source is None else "of a mall"
            raise ValueError(f"a key {whose} has the scopes {' or '.join(sorted(fitting))}, not {', '.join(sorted(wrong))}")
        return self


class Key(Schema):
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
