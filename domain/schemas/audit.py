"""The public JSON of the audit log."""

from enum import StrEnum
from typing import Any

from domain.types import Moment, Schema


class Via(StrEnum):
    """The way by which a change was asked for."""

    API = "api"
    CONSOLE = "console"
    SIGNAL = "signal"
    """a signal or a cancel of a workflow, with Temporal's own tools"""
    COMMAND_LINE = "command_line"


class Change(Schema):
    """One recorded change of a setting, or one act of an operator."""

    change_no: int
    changed_at: Moment
    changed_by: str
    """name of the key; of a signal, the operator that it names"""
    via: Via
    key_id: str | None
    request_id: str | None
    """`X-Request-Id` of the answer, and in the access log"""
    address: str | None
    """where the request came from"""
    subject: str
    """what was changed, for example campaign/100123 or team/…"""
    action: str
    """set: the subject has the content; else what an operator did, for example extend"""
    reason: str | None
    changed: bool
    """false: the act changed nothing, and `outcome` says why"""
    outcome: str | None
    content: Any
    """the whole subject after the change; null for an act"""
