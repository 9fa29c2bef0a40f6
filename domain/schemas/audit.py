"""The public JSON of the audit log."""

from typing import Any

from domain.types import Moment, Schema


class Change(Schema):
    """One recorded change of a setting."""

    change_no: int
    changed_at: Moment
    changed_by: str
    """name of the key"""
    subject: str
    """what was changed, for example campaign/100123"""
    content: Any
    """the whole subject after the change"""
