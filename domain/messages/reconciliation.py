"""What reconciliation looks for."""

from domain.messages.base import WorkflowMessage
from domain.types import Moment


class FindOverdue(WorkflowMessage):
    """Asks for what is later, at `now`, than any live workflow lets it be."""

    now: Moment


class Overdue(WorkflowMessage):
    """Teams with overdue seats or an overdue deadline, and events that wait for a delivery."""

    team_ids: list[str] = []
    event_ids: list[str] = []
