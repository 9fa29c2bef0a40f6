"""Malls and keys: who may call what (design.md section 8)."""

from typing import Any

from domain.types import Moment, Schema


class Switch(Schema):
    name: str
    value: Any
    version: int
    """0: nobody has set it"""
    changed_by: str | None
    changed_at: Moment | None
