"""What all messages between the API, the workflows and the activities have in common.

Histories keep these messages: a later field has a default, and none is renamed or removed
(docs/stability.md).
"""

from enum import StrEnum

from pydantic import BaseModel, ConfigDict


class WorkflowMessage(BaseModel):
    """Frozen; fields that a later version adds are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class WorkflowFailure(StrEnum):
    """Types of failures in workflows and activities that are not refusals with an error code."""

    NO_FIRST_SEAT = "NoFirstSeat"
    BROKEN_INVARIANT = "BrokenInvariant"
    DATABASE_AWAY = "DatabaseAway"
    CALLBACKS_PENDING = "CallbacksPending"
    NEXT_BATCH = "NextBatch"
    TEAM_OVER = "TeamOver"
    STALE_REQUEST = "StaleRequest"
    REFUND_REJECTED = "RefundRejected"
    NO_REQUEST = "NoRequest"
    UNUSABLE_INPUT = "UnusableInput"
    RECONCILIATION_INCOMPLETE = "ReconciliationIncomplete"
