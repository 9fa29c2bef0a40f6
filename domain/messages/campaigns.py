"""What the API, the workflows and the activities tell each other about the shutdown of a campaign."""

from typing import Annotated

from pydantic import Field

from domain.messages.acts import Author
from domain.messages.base import WorkflowMessage
from domain.types import Moment, Money


class BeginShutdown(WorkflowMessage):
    """Asks to end a campaign, and to record the teams that have to be closed."""

    campaign_id: int
    author: Author
    reason: str = ""
    now: Moment


class CloseTeams(WorkflowMessage):
    """Asks to close the teams of a shutdown that are still forming."""

    campaign_id: int
    operator: str = ""
    reason: str = ""
    after: str = ""
    """team_id to go on after"""
    by_rows: bool = False
    """their workflows were signaled before, and have not closed them"""
    now: Moment


class ClosedTeams(WorkflowMessage):
    """How far a call has come."""

    after: str = ""
    """the last team, when there may be more"""
    event_ids: list[str] = []
    """events of teams that no workflow delivers"""
    owing: list[str] = []
    """teams with paid members whose refunds no workflow starts"""


class ReadShutdown(WorkflowMessage):
    """Asks how far a shutdown is."""

    campaign_id: int
    now: Moment


class ShutdownState(WorkflowMessage):
    """How far a shutdown is, as its rows have it."""

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
    """Which campaign, and why. An operator may start a shutdown by hand with this object."""

    campaign_id: int
    operator: Annotated[str, Field(max_length=128)] = ""
    author: Annotated[Author | None, Field(description="set by the API")] = None
    reason: Annotated[str, Field(max_length=500)] = ""
    after: Annotated[str, Field(description="set by continue-as-new: the last team that was signaled to close")] = ""
    signaled: Annotated[bool, Field(description="set by continue-as-new: every team's workflow was signaled to close")] = False


class Closing(ClosedTeams):
    """How far the attempts of a call have come."""

    count: int = 0
    closing: list[str] = []
    """the teams that the next batch waits for"""
    checks: int = 0
    """how many times it has waited for them"""

    @property
    def done(self) -> str:
        return f"{self.count} team(s) told to close"
