"""What travels between the API, the workflows and the activities.

Histories outlive deployments: a field added later has a default, and none is ever renamed or removed.
"""

from domain.messages.base import WorkflowMessage
from domain.types import Moment

# --- the net under terminated workflows ---


class FindLeftovers(WorkflowMessage):
    now: Moment


class Leftovers(WorkflowMessage):
    team_ids: list[str] = []
    event_ids: list[str] = []
