"""The public JSON of a campaign's shutdown: its preview, its request and its progress."""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from domain.schemas.workflows import WorkflowLink
from domain.types import Moment, Note, Schema, TotalMoney


class ShutdownStatus(StrEnum):
    NOT_BEGUN = "not_begun"
    RUNNING = "running"
    DONE = "done"


class ShutdownPreview(Schema):
    """What a shutdown would undo: the campaign's forming teams and their orders."""

    status: Literal[ShutdownStatus.NOT_BEGUN] = ShutdownStatus.NOT_BEGUN
    campaign_id: int
    teams: int
    orders: int
    unpaid_orders: int
    paid_orders: int
    amount: TotalMoney
    """what would be returned to buyers"""
    completed_teams: int
    """these are not undone"""


class ShutdownProgress(Schema):
    """The progress of a shutdown, counted when it is read."""

    status: Literal[ShutdownStatus.RUNNING, ShutdownStatus.DONE]
    campaign_id: int
    teams_total: int
    """teams that were forming when the shutdown began"""
    teams_done: int
    teams_completed: int
    """teams among these that a payment completed before they were closed; they are not undone"""
    refunds_total: int
    refunds_done: int
    """refunds that the mall has been told of"""
    refunds_attention: int
    """refunds that the mall does not answer, and that wait for an operator"""
    amount_total: TotalMoney
    amount_returned: TotalMoney
    begun_by: str
    """name of the key"""
    reason: str
    begun_at: Moment
    finished_at: Moment | None
    workflow: WorkflowLink


class NewShutdown(Schema):
    """Ends a campaign at once. Where the figures of the preview have changed meanwhile, a confirmation is required."""

    reason: Note = ""
    teams: Annotated[int, Field(strict=True, ge=0)] = 0
    """`teams` of the preview"""
    amount: TotalMoney | None = None
    """`amount` of the preview"""
