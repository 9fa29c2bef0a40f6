"""What travels between the API, the workflows and the activities.

Histories outlive deployments: a field added later has a default, and none is ever renamed or removed.
"""

from typing import Literal

from domain.messages.base import WorkflowMessage
from domain.types import Moment

# --- seats ---


CallbackFormat = Literal["standard", "original"]


class Address(WorkflowMessage):
    """Where an order's events go."""

    kind: Literal["http", "amqp"]
    address: str
    format: CallbackFormat = "standard"


# --- callbacks ---


class Deliver(WorkflowMessage):
    event_ids: list[str]


class Delivered(WorkflowMessage):
    delivered: int
    dead: int


class ReviveCallbacks(WorkflowMessage):
    """Asks to make what was given up of a team's events due again."""

    team_id: str
    now: Moment


class RevivedCallbacks(WorkflowMessage):
    event_ids: list[str] = []


class Resend(WorkflowMessage):
    """Events that somebody wants to be sent again, and that wait for it in the database."""

    event_ids: list[str] = []


class Sample(WorkflowMessage):
    """A callback that stands for nothing: for a mall that tries out its receiver."""

    source: str
    event_id: str
    type: str
    data: str
    """JSON"""
    callback: Address
    now: Moment


class SampleReply(WorkflowMessage):
    """What the mall made of it."""

    event_id: str
    delivered: bool
    http_status: int | None = None
    error: str | None = None
    duration_ms: int
    body: str = ""
    """the beginning of the mall's answer"""
