"""What travels between the API, the workflows and the activities.

Histories outlive deployments: a field added later has a default, and none is ever renamed or removed.
"""

from typing import Annotated

from pydantic import Field

from domain.lifecycle import (
    OrderStatus,
    TeamDecision,
    TeamStatus,
)
from domain.messages.base import WorkflowMessage
from domain.types import Moment

# --- the team's end ---


class ConcludeTeam(WorkflowMessage):
    team_id: str
    ending: TeamDecision
    now: Moment


class ConcludedTeam(WorkflowMessage):
    """What the team's rows say after it was asked to end."""

    team_status: TeamStatus
    changed: bool
    """false: it had ended before, or may not end like that"""
    detail: str
    completed_at: Moment | None = None
    cancelled: list[str] = []
    owed: list[str] = []
    """out_trade_nos of paid orders whose money must go back"""
    event_ids: list[str] = []


class ExtendTeam(WorkflowMessage):
    team_id: str
    deadline: Moment


class ExtendedTeam(WorkflowMessage):
    team_status: TeamStatus
    deadline: Moment


class Undelivered(WorkflowMessage):
    """Events that the first try did not deliver: their team's workflow goes on with them."""

    event_ids: list[str] = []


class MemberLeft(WorkflowMessage):
    """Tells a team's workflow what its rows say already."""

    out_trade_no: str = ""
    team_status: TeamStatus | None = None


# --- the team workflow itself ---


class Seat(WorkflowMessage):
    """A seat in the workflow's view: what its timer and its details need."""

    user_id: str
    status: OrderStatus
    keep_until: Moment


class TeamView(WorkflowMessage):
    """What a team's next run must know of this one."""

    status: TeamStatus
    deadline: Moment
    payment_grace: int
    refund_until: Moment | None = None
    refund_window: int
    seats: dict[str, Seat] = {}
    undelivered: list[str] = []
    told_elsewhere: list[str] = []
    notes: list[str] = []


class TeamInput(WorkflowMessage):
    team_id: str
    source: str
    campaign_id: int
    goods_id: str
    goods_name: str
    target_count: int
    local_activities: bool = True
    protocol: int = 1
    """which steps the workflow takes: a running team keeps those that it was started with"""
    view: Annotated[TeamView | None, Field(description="set by continue-as-new")] = None


PROTOCOL = 2
"""1: the team starts no refunds, and delivers every event by itself. 2: it starts those that it causes, and leaves the
first try of what a payment completes to the worker that booked it."""
