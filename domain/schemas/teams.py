"""The public JSON of teams."""

from domain.lifecycle import Completion, FailReason, OrderStatus, TeamStatus
from domain.schemas.workflows import WorkflowLink
from domain.types import Moment, Schema


class Member(Schema):
    """A live order of a team."""

    user_id: str
    out_trade_no: str
    status: OrderStatus


class Team(Schema):
    """A team with those who hold a seat in it."""

    team_id: str
    campaign_id: int
    goods_id: str
    status: TeamStatus
    target_count: int
    lock_count: int
    complete_count: int
    opened_at: Moment
    deadline: Moment
    completed_at: Moment | None
    members: list[Member]
    """live orders only; `GET /v1/teams/{team_id}/orders` has all"""
    left_count: int
    """orders that no longer hold a seat"""
    workflow: WorkflowLink


class OpsTeam(Schema):
    """A team as operators see it."""

    source: str
    team_id: str
    campaign_id: int
    campaign_version: int
    """version of the campaign that the team was opened under"""
    goods_id: str
    merchant_share: int
    """percent of the discount that the mall bears"""
    status: TeamStatus
    completion: Completion | None
    fail_reason: FailReason | None
    target_count: int
    lock_count: int
    complete_count: int
    opened_at: Moment
    deadline: Moment
    completed_at: Moment | None
    workflow: WorkflowLink
