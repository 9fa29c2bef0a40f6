"""What malls and operators see of a trade: order, team, payment, quote (design.md section 8)."""

from domain.lifecycle import (
    Completion,
    FailReason,
    OrderStatus,
    TeamStatus,
)
from domain.schemas.workflows import WorkflowLink
from domain.types import Moment, Schema


class Member(Schema):
    user_id: str
    out_trade_no: str
    status: OrderStatus


class Team(Schema):
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
    workflow: WorkflowLink


class OpsTeam(Schema):
    source: str
    team_id: str
    campaign_id: int
    campaign_version: int
    goods_id: str
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
