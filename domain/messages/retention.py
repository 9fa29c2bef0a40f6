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
    archived: bool = False
    """each went to the archive"""
    kept: dict[str, int] = {}
    """teams that were kept, by reason"""

    @property
    def done(self) -> str:
        """What was done with them, in a word."""
        return "archived" if self.archived else "removed"
