"""How workflows call activities, and what failures of activities become."""

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
    from domain.messages.base import WorkflowFailure

ArgumentT = TypeVar("ArgumentT")
AnswerT = TypeVar("AnswerT")
Activity = Callable[[Any, ArgumentT], Awaitable[AnswerT]]

LOCAL_ATTEMPT = timedelta(seconds=2)
TRANSACTION = timedelta(seconds=10)
BATCH = timedelta(seconds=30)
RETRY_FOREVER = RetryPolicy(
    initial_interval=timedelta(milliseconds=200), backoff_coefficient=2, maximum_interval=timedelta(seconds=5)
)


async def execute_with_retries(
    activity: Activity[ArgumentT, AnswerT], argument: ArgumentT, *, summary: str, task_queue: str | None = None
) -> AnswerT:
    """Runs one transaction, and retries it for as long as the database is away.

    Raises:
        FailureError: a defect, or a refusal that the activity raised: both not retryable.
    """
    return await workflow.execute_activity_method(
        activity,
        argument,
        task_queue=task_queue,
        start_to_close_timeout=TRANSACTION,
        retry_policy=RETRY_FOREVER,
        summary=summary,
    )


async def execute_local_first(
    activity: Activity[ArgumentT, AnswerT], argument: ArgumentT, *, summary: str, local: bool = True
) -> AnswerT:
    """Runs one transaction within the workflow task, which costs one event; if that fails, as a regular activity with retries.

    The activity must be idempotent: a local attempt that seemed to fail may have been committed.
    """
    if local:
        try:
            return await workflow.execute_local_activity_method(
                activity,
                argument,
                start_to_close_timeout=LOCAL_ATTEMPT,
                retry_policy=RetryPolicy(maximum_attempts=1),
                summary=summary,
            )
        except FailureError as exc:
            if is_cancelled_exception(exc) or _is_final(exc):
                raise
    return await execute_with_retries(activity, argument, summary=summary)


async def execute_batched(
    activity: Activity[ArgumentT, AnswerT], argument: ArgumentT, *, summary: str, task_queue: str | None = None
) -> AnswerT:
    """Runs an activity that works through many rows: each attempt does a batch, and is repeated for the next one."""
    return await workflow.execute_activity_method(
        activity,
        argument,
        task_queue=task_queue,
        start_to_close_timeout=BATCH,
        retry_policy=RETRY_FOREVER,
        summary=summary,
    )


def refusal(detail: str, code: str) -> ApplicationError:
    """An expected no: it fails the update, and nothing else."""
    return ApplicationError(detail, type=code, non_retryable=True, category=ApplicationErrorCategory.BENIGN)


def refusal_of(failure: FailureError) -> ApplicationError:
    """The answer of an update whose transaction failed for good."""
    cause = application_error_of(failure)
    if cause is not None and cause.type:
        return refusal(cause.message, cause.type)
    return refusal(str(failure.cause or failure), WorkflowFailure.BROKEN_INVARIANT)


def application_error_of(failure: BaseException) -> ApplicationError | None:
    """The error that an activity, or a workflow of ours, raised; None for a cancel, a timeout and other ends of an activity."""
    # A regular activity's failure comes wrapped in an ActivityError, a local activity's does not.
    cause = failure.cause if isinstance(failure, ActivityError) else failure
    return cause if isinstance(cause, ApplicationError) else None


def is_defect(failure: BaseException) -> bool:
    """Whether the database has said that the code is wrong."""
    cause = application_error_of(failure)
    return cause is not None and cause.type == WorkflowFailure.BROKEN_INVARIANT


def _is_final(failure: FailureError) -> bool:
    cause = application_error_of(failure)
    return cause is not None and cause.non_retryable
