"""Who asked for a change, and what operators ask of teams, refunds and callbacks."""

from domain.messages.base import WorkflowMessage
from domain.schemas.audit import Via


class Author(WorkflowMessage):
    """Who asked for a change, and by which way. The audit keeps it."""

    operator: str
    """name of the API key, or what a signal says"""
    via: Via
    key_id: str | None = None
    request_id: str | None = None
    address: str | None = None
    """where the request came from"""


UNNAMED = "an operator"


def signal_author(operator: str) -> Author:
    """Who sends a signal may leave out who it is."""
    return Author(operator=operator or UNNAMED, via=Via.SIGNAL)


def command_line_author(operator: str) -> Author:
    """Who works on the database itself."""
    return Author(operator=operator, via=Via.COMMAND_LINE)


class Act(WorkflowMessage):
    """One act of an operator. It is done once and recorded once, however often it arrives."""

    id: str
    author: Author
    reason: str = ""


class Outcome(WorkflowMessage):
    """What came of an act."""

    changed: bool
    detail: str
