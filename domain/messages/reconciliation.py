"""What reconciliation asks of its activities, and what came of it."""

from domain.messages.base import WorkflowMessage
from domain.types import Moment


class Reconcile(WorkflowMessage):
    """Asks for what is later, at `now`, than any live workflow lets it be."""

    now: Moment
    team_ids: list[str] = []
    """teams that reconciliation has concluded in this run: their refunds are owed at once"""


class Reconciled(WorkflowMessage):
    """How many items were looked at, and how many of them are in attention now."""

    count: int
    failed: int = 0


class ReconciledTeams(Reconciled):
    team_ids: list[str] = []
    """those that were looked at without a failure"""
