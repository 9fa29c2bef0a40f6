"""What the removal of old teams asks of its activity."""

from domain.messages.base import WorkflowMessage
from domain.types import Moment


class RemoveOldTeams(WorkflowMessage):
    """Asks to remove what is older, at `now`, than the worker's setting says."""

    now: Moment


class RemovedTeams(WorkflowMessage):
    """What a pass over all old teams has removed."""

    days: int | None = None
    """None: nothing is removed"""
    teams: int = 0
    orders: int = 0
    events: int = 0
    kept: dict[str, int] = {}
    """teams that were kept, by reason"""
