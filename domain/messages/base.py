"""What travels between the API, the workflows and the activities.

Histories outlive deployments: a field added later has a default, and none is ever renamed or removed.
"""

from enum import StrEnum

from pydantic import BaseModel, ConfigDict


class WorkflowMessage(BaseModel):
    """Frozen, and blind to fields of a later version."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class WorkflowFailure(StrEnum):
    """Types of failure that are not a refusal with a code of its own."""

    NO_FIRST_SEAT = "NoFirstSeat"
    BROKEN_INVARIANT = "BrokenInvariant"
    DATABASE_AWAY = "DatabaseAway"
    CALLBACKS_PENDING = "CallbacksPending"
    TEAM_OVER = "TeamOver"
    REFUND_REJECTED = "RefundRejected"
    NO_REQUEST = "NoRequest"
    UNUSABLE_INPUT = "UnusableInput"
