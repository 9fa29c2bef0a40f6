"""How workflows call activities."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any, TypeVar

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import (
    ActivityError,
    ApplicationError,
    ApplicationErrorCategory,
    FailureError,
    is_cancelled_exception,
)

with workflow.unsafe.imports_passed_through():
    from domain.messages import WorkflowFailure

Argument = TypeVar("Argument")
Answer = TypeVar("Answer")
Step = Callable[[Any, Argument], Awaitable[Answer]]

LOCAL_TRY = timedelta(seconds=2)
TRANSACTION = timedelta(seconds=10)
UNTIL_IT_WORKS = RetryPolicy(
    initial_interval=timedelta(milliseconds=200), backoff_coefficient=2, maximum_interval=timedelta(seconds=5)
)


async def durably(step: Step[Argument, Answer], argument: Argument, *, summary: str) -> Answer:
    """Runs one transaction, again and again while the database is away.

    Raises:
        FailureError: a defect, or a refusal that the activity raised: both not retryable.
    """
    return await workflow.execute_activity_method(
        step, argument, start_to_close_timeout=TRANSACTION, retry_policy=UNTIL_IT_WORKS, summary=summary
    )


async def locally_first(step: Step[Argument, Answer], argument: Argument, *, local: bool, summary: str) -> Answer:
    """Runs one transaction within the workflow task, which costs one event; where that fails, durably.

    The step must be idempotent: a local try that seemed to fail may have been committed.
    """
    if local:
        try:
            return await workflow.execute_local_activity_method(
                step,
                argument,
                start_to_close_timeout=LOCAL_TRY,
                retry_policy=RetryPolicy(maximum_attempts=1),
                summary=summary,
            )
        except FailureError as failure:
            if is_cancelled_exception(failure) or _is_final(failure):
                raise
    return await durably(step, argument, summary=summary)


def refusal(detail: str, code: str) -> ApplicationError:
    """An expected no: it fails the update, and nothing else."""
    return ApplicationError(detail, type=code, non_retryable=True, category=ApplicationErrorCategory.BENIGN)


def refusal_of(failure: FailureError) -> ApplicationError:
    """What an update answers when its transaction failed for good."""
    cause = _own(failure)
    if isinstance(cause, ApplicationError) and cause.type:
        return refusal(cause.message, cause.type)
    return refusal(str(cause), WorkflowFailure.BROKEN_INVARIANT)


def _is_final(failure: FailureError) -> bool:
    cause = _own(failure)
    return isinstance(cause, ApplicationError) and cause.non_retryable


def _own(failure: FailureError) -> BaseException | None:
    # A regular activity's failure comes wrapped in an ActivityError, a local activity's does not.
    return failure.cause if isinstance(failure, ActivityError) else failure
