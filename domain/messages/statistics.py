"""What the count of statistics asks of its activity."""

from domain.messages.base import WorkflowMessage
from domain.types import Moment


class CountDays(WorkflowMessage):
    """Asks for a few of the days that are due at `now`."""

    now: Moment


class CountedDays(WorkflowMessage):
    counted: int
    remaining: int
    """days that are still due"""
