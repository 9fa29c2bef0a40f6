"""Ending a campaign at once: what operators see before, and while it goes on."""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from domain.schemas.workflows import WorkflowLink
from domain.types import Moment, Money, Note, Schema


class ShutdownStatus(StrEnum):
    NOT_BEGUN = "not_begun"
    RUNNING = "running"
    DONE = "done"


class ShutdownPreview(Schema):
    """What ends with the campaign: its forming teams, with the seats in them."""

    status: Literal[ShutdownStatus.NOT_BEGUN] = ShutdownStatus.NOT_BEGUN
    campaign_id: int
    teams: int
    orders: int
    unpaid_orders: int
    paid_orders: int
    amount: Money
    """what would go back"""
    completed_teams: int
    """these keep what they bought"""


class ShutdownProgress(Schema):
    """How far it is, counted at this moment."""

    status: Literal[ShutdownStatus.RUNNING, ShutdownStatus.DONE]
    campaign_id: int
    teams_total: int
    """those that were forming when the ending began"""
    teams_done: int
    teams_completed: int
    """of these: completed by a payment that came before their turn; they keep what they bought"""
    refunds_total: int
    refunds_done: int
    """their mall has been told to return the money"""
    refunds_attention: int
    """their mall does not answer: they wait for a person"""
    amount_total: Money
    amount_returned: Money
    begun_by: str
    reason: str
    begun_at: Moment
    finished_at: Moment | None
    workflow: WorkflowLink


class NewShutdown(Schema):
    """The order to end a campaign; with what the preview said, it is refused when that is no longer so."""

    reason: Note = ""
    teams: Annotated[int, Field(strict=True, ge=0)] = 0
    amount: Money | None = None
