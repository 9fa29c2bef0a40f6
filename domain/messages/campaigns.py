"""What travels between the API, the workflows and the activities.

Histories outlive deployments: a field added later has a default, and none is ever renamed or removed.
"""

from typing import Annotated

from pydantic import Field

from domain.messages.base import WorkflowMessage
from domain.types import Moment, Money

# --- a campaign that is ended at once ---


class BeginShutdown(WorkflowMessage):
    campaign_id: int
    operator: str
    reason: str = ""
    now: Moment


class CloseTeams(WorkflowMessage):
    """Asks to close the teams of an ending that are still forming."""

    campaign_id: int
    operator: str = ""
    reason: str = ""
    after: str = ""
    """goes on after this team"""
    by_rows: bool = False
    """their workflows have been told before, and that was not enough"""
    now: Moment


class ClosedTeams(WorkflowMessage):
    after: str = ""
    """the last of these, when there may be more"""
    event_ids: list[str] = []
    """what is to be told of teams that no workflow tells of"""


class ReadShutdown(WorkflowMessage):
    campaign_id: int
    now: Moment


class ShutdownState(WorkflowMessage):
    """How far an ending is, as its rows have it."""

    teams_total: int
    teams_done: int
    teams_completed: int
    refunds_total: int
    refunds_done: int
    refunds_attention: int
    amount_total: Money
    amount_returned: Money
    finished: bool

    @property
    def teams_forming(self) -> int:
        return self.teams_total - self.teams_done

    @property
    def is_complete(self) -> bool:
        return self.teams_forming == 0 and self.refunds_done == self.refunds_total


class ShutdownInput(WorkflowMessage):
    """Whose campaign, and why. An operator may start an ending by hand with this object."""

    campaign_id: int
    operator: Annotated[str, Field(max_length=128)] = ""
    reason: Annotated[str, Field(max_length=500)] = ""
    after: Annotated[str, Field(description="set by continue-as-new: the last team that was told to close")] = ""
    told: Annotated[bool, Field(description="set by continue-as-new: every team's workflow was told to close")] = False
