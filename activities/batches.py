"""Activities that work through many rows: each attempt does a batch and gives its slot back, so that others get theirs."""

import time
from datetime import timedelta
from typing import TypeVar

from temporalio import activity
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory

from domain.messages.base import WorkflowFailure, WorkflowMessage

SECONDS = 1.0
"""after which an attempt gives its slot back"""
PAUSE = timedelta(seconds=1)
"""between two attempts; Temporal's retries know no shorter one"""

ProgressT = TypeVar("ProgressT", bound=WorkflowMessage)


class SlotTime:
    """How long this attempt may go on."""

    def __init__(self) -> None:
        self._until = time.monotonic() + SECONDS

    @property
    def is_over(self) -> bool:
        return time.monotonic() > self._until


def progress_of(model: type[ProgressT]) -> ProgressT:
    """Returns what the last attempt left; the model's defaults in the first one, and where it was lost."""
    details = activity.info().heartbeat_details
    return model.model_validate(details[0]) if details else model()


def next_batch(done: str, progress: WorkflowMessage | None = None) -> ApplicationError:
    """The error that ends an attempt which leaves more to do. It is no failure: the activity is called again after a pause.

    Args:
        done: what operators read of the activity meanwhile.
        progress: what the next attempt goes on from, where the rows alone do not say it.
    """
    if progress is not None:
        activity.heartbeat(progress)
    return ApplicationError(
        f"{done}; more follow.",
        type=WorkflowFailure.NEXT_BATCH,
        next_retry_delay=PAUSE,
        category=ApplicationErrorCategory.BENIGN,
    )
