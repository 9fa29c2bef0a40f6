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
    from activities.callbacks.deliver import CallbackActivities
    from domain.messages.base import WorkflowFailure
    from domain.messages.callbacks import Deliver, Delivered
    from workflows.task_queues import CALLBACKS_QUEUE

Argument = TypeVar("Argument")
Answer = TypeVar("Answer")
Step = Callable[[Any, Argument], Awaitable[Answer]]

LOCAL_TRY = timedelta(seconds=2)
TRANSACTION = timedelta(seconds=10)
# Longer than an attempt may take (settings.py bounds it) that begins in an activity's tenth second. After a crash the next try
# waits for this.
DELIVERY = timedelta(seconds=30)
SLICE = timedelta(seconds=30)
UNTIL_IT_WORKS = RetryPolicy(
    initial_interval=timedelta(milliseconds=200), backoff_coefficient=2, maximum_interval=timedelta(seconds=5)
)


async def execute_with_retries(
    step: Step[Argument, Answer], argument: Argument, *, summary: str, task_queue: str | None = None
) -> Answer:
    """Runs one transaction, again and again while the database is away.

    Raises:
        FailureError: a defect, or a refusal that the activity raised: both not retryable.
    """
    return await workflow.execute_activity_method(
        step,
        argument,
        task_queue=task_queue,
        start_to_close_timeout=TRANSACTION,
        retry_policy=UNTIL_IT_WORKS,
        summary=summary,
    )


async def execute_local_first(step: Step[Argument, Answer], argument: Argument, *, local: bool, summary: str) -> Answer:
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
    return await execute_with_retries(step, argument, summary=summary)


async def execute_batched(step: Step[Argument, Answer], argument: Argument, *, summary: str, task_queue: str) -> Answer:
    """Runs an activity that works through many rows and says after each slice how far it is."""
    return await workflow.execute_activity_method(
        step,
        argument,
        task_queue=task_queue,
        start_to_close_timeout=timedelta(hours=1),
        heartbeat_timeout=SLICE,
        retry_policy=UNTIL_IT_WORKS,
        summary=summary,
    )


def start_delivery(event_ids: list[str], *, summary: str) -> workflow.ActivityHandle[Delivered]:
    """Starts to tell a mall of events. It goes on for days until each is delivered or dead; who waits for it decides how."""
    return workflow.start_activity_method(
        CallbackActivities.deliver,
        Deliver(event_ids=event_ids),
        task_queue=CALLBACKS_QUEUE,
        start_to_close_timeout=DELIVERY,
        retry_policy=RetryPolicy(initial_interval=timedelta(seconds=1), maximum_interval=timedelta(minutes=10)),
        summary=summary,
    )


def refusal(detail: str, code: str) -> ApplicationError:
    """An expected no: it fails the update, and nothing else."""
    return ApplicationError(detail, type=code, non_retryable=True, category=ApplicationErrorCategory.BENIGN)


def refusal_of(failure: FailureError) -> ApplicationError:
    """What an update answers when its transaction failed for good."""
    cause = failure_of(failure)
    if cause is not None and cause.type:
        return refusal(cause.message, cause.type)
    return refusal(str(failure.cause or failure), WorkflowFailure.BROKEN_INVARIANT)


def failure_of(failure: BaseException) -> ApplicationError | None:
    """What an activity, or a step of ours, raised; None for a cancel, a timeout and whatever else Temporal ends steps with."""
    # A regular activity's failure comes wrapped in an ActivityError, a local activity's does not.
    own = failure.cause if isinstance(failure, ActivityError) else failure
    return own if isinstance(own, ApplicationError) else None


def _is_final(failure: FailureError) -> bool:
    cause = failure_of(failure)
    return cause is not None and cause.non_retryable
