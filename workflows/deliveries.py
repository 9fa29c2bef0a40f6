"""Callbacks as steps of a workflow: one activity tries an event for days, until it is delivered or dead."""

from collections.abc import Iterable
from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import FailureError, is_cancelled_exception

with workflow.unsafe.imports_passed_through():
    from activities.interfaces import CallbackActivities
    from domain.messages.callbacks import Deliver, Delivered
    from workflows.markdown import quote
    from workflows.task_queues import CALLBACKS_QUEUE

# Longer than an attempt that begins in the activity's tenth second may take (settings.py bounds it). After a crash of the
# worker the next attempt waits for this.
DELIVERY = timedelta(seconds=30)
RETRIES = RetryPolicy(initial_interval=timedelta(seconds=1), maximum_interval=timedelta(minutes=10))
WITHIN_TASK = timedelta(seconds=2)
"""that an attempt within a workflow task may take"""
ONE_ATTEMPT = RetryPolicy(maximum_attempts=1)

Handle = workflow.ActivityHandle[Delivered]


def start_delivery(
    event_ids: list[str], *, summary: str, retries: RetryPolicy = RETRIES, timeout: timedelta | None = None
) -> Handle:
    """Starts the activity that delivers these events; `timeout` is one attempt's, DELIVERY by default."""
    return workflow.start_activity_method(
        CallbackActivities.deliver,
        Deliver(event_ids=event_ids),
        task_queue=CALLBACKS_QUEUE,
        start_to_close_timeout=timeout or DELIVERY,
        retry_policy=retries,
        summary=summary,
    )


async def deliver_at_once(event_ids: list[str], *, summary: str) -> bool:
    """Attempts events once, within the workflow task; returns whether all are delivered.

    That is one event of the history, and the end of an activity would be a task. For a workflow that nobody waits for: its
    task lasts until the mall has answered.
    """
    try:
        return await workflow.execute_local_activity_method(
            CallbackActivities.deliver_at_once,
            Deliver(event_ids=event_ids),
            start_to_close_timeout=WITHIN_TASK,
            retry_policy=ONE_ATTEMPT,
            summary=summary,
        )
    except FailureError as exc:
        if is_cancelled_exception(exc):
            raise
        return False


class Deliveries:
    """The deliveries that a workflow has under way."""

    def __init__(self) -> None:
        self._under_way: list[tuple[list[str], Handle]] = []
        self._abandoned: set[str] = set()
        """events whose activity failed: started again only when an operator asks for it"""

    def start(self, event_ids: Iterable[str], summary: str, *, again: bool = False) -> None:
        """Starts one activity for those events that have none under way."""
        known = {event_id for ids, _ in self._under_way for event_id in ids} | (set() if again else self._abandoned)
        new = [event_id for event_id in event_ids if event_id not in known]
        if new:
            self._under_way.append((new, start_delivery(new, summary=summary)))

    @property
    def are_under_way(self) -> bool:
        return bool(self._under_way)

    @property
    def any_finished(self) -> bool:
        return any(handle.done() for _, handle in self._under_way)

    def collect(self) -> list[str]:
        """Removes the deliveries that have finished; returns a sentence for each that a person should see."""
        failures = []
        for delivery in [each for each in self._under_way if each[1].done()]:
            self._under_way.remove(delivery)
            event_ids, handle = delivery
            exc = handle.exception()
            if exc is not None:
                self._abandoned.update(event_ids)
            if dead := len(event_ids) if exc else handle.result().dead:
                failures.append(f"{dead} callback(s) could not be delivered: {quote(exc) if exc else 'given up'}.")
        return failures
