"""The public JSON of redeliveries: what of a mall's events is sent again, and how far that is."""

from typing import Annotated, Literal

from pydantic import Field

from domain.schemas.workflows import WorkflowLink
from domain.types import Identifier, Moment, Schema

RedeliveryStatus = Literal["dead", "delivered", "pending", "all"]


class RedeliveryRange(Schema):
    """A mall's events of a period."""

    source: Identifier
    since: Moment
    until: Moment
    status: Annotated[RedeliveryStatus, Field(description="of the callbacks to send again")] = "dead"


class Redelivery(RedeliveryRange):
    """Events that are sent again, counted when it is read."""

    redelivery_id: int
    count: int
    """events of the range, counted when it was requested"""
    resent: int
    """events that were made due so far"""
    refunds: int
    """events among these whose refunds are under way: their workflows were told to send them"""
    delivered: int
    """callbacks of these events, one for each address"""
    pending: int
    """callbacks that wait for an attempt"""
    dead: int
    """callbacks that were given up again"""
    requested_by: str
    """name of the key"""
    requested_at: Moment
    finished_at: Moment | None
    workflow: WorkflowLink | None
    """null: there was nothing to send"""
