"""The public JSON of switches."""

from typing import Any

from domain.types import Moment, Schema


class Switch(Schema):
    """A switch and its last change."""

    name: str
    value: Any
    version: int
    """counts the changes; 0: the default"""
    changed_by: str | None
    """name of the key"""
    changed_at: Moment | None
