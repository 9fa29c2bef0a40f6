"""What the API, the workflows and the activities tell each other about callbacks."""

from typing import Literal

from domain.messages.acts import Act, Outcome
from domain.messages.base import WorkflowMessage
from domain.types import Moment

CallbackFormat = Literal["standard", "original"]


class Address(WorkflowMessage):
    """Where an order's events go."""

    kind: Literal["http", "amqp"]
    address: str
    format: CallbackFormat = "standard"


class Deliver(WorkflowMessage):
    """Asks to deliver events."""

    event_ids: list[str]


class Delivered(WorkflowMessage):
    """How many deliveries ended, and how."""

    delivered: int
    dead: int


class ReviveCallbacks(WorkflowMessage):
    """Asks to make the dead callbacks of a team due again."""

    team_id: str
    now: Moment
    act: Act


class RevivedCallbacks(WorkflowMessage):
    """Events that are due again."""

    event_ids: list[str] = []
    outcome: Outcome


class Redeliver(WorkflowMessage):
    """Events that were made due again, and wait for a delivery."""

    event_ids: list[str] = []


class MassRedeliver(WorkflowMessage):
    """A redelivery whose events follow from its row."""

    redelivery_id: int


class RedeliverNext(WorkflowMessage):
    """Asks to send the next events of a redelivery."""

    redelivery_id: int
    again: bool = False
    """do not wait for the next attempt of what failed"""


class RedeliveryState(WorkflowMessage):
    """How far a redelivery is, as its rows have it."""

    count: int
    resent: int
    refunds: int
    delivered: int
    pending: int
    dead: int
    advanced: bool = False
    """something was made due or delivered, so there may be more to do at once"""
    next_attempt_at: Moment | None = None
    """when everything was sent once: nothing is to do before"""
    finished: bool = False

    @property
    def unsent(self) -> int:
        return max(self.count - self.resent, 0)


class Sample(WorkflowMessage):
    """A callback without an event: for a mall that tries out its receiver."""

    source: str
    event_id: str
    type: str
    data: str
    """JSON"""
    callback: Address
    now: Moment


class SampleReply(WorkflowMessage):
    """How the mall replied."""

    event_id: str
    delivered: bool
    http_status: int | None = None
    error: str | None = None
    duration_ms: int
    body: str = ""
    """the beginning of the mall's answer"""
