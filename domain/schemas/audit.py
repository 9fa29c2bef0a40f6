"""Malls and keys: who may call what (design.md section 8)."""

from typing import Any

from domain.types import Moment, Schema


class Change(Schema):
    """What somebody changed: `content` is what the subject is from then on, whole."""

    change_no: int
    changed_at: Moment
    changed_by: str
    subject: str
    content: Any
