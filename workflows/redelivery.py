"""Callbacks beside teams and refunds: what somebody wants to be sent again, and samples."""

from typing import Any

from temporalio import workflow
from temporalio.common import RetryPolicy

with workflow.unsafe.imports_passed_through():
    from activities.callbacks.deliver import CallbackActivities
    from domain.messages.callbacks import Resend, Sample, SampleReply
    from domain.messages.signals import ResendSignal
    from workflows.activity_calls import DELIVERY, start_delivery
    from workflows.details import moment
    from workflows.operator_signals import UnusablePayloadError, parse_signal
    from workflows.search_attributes import NEEDS_ATTENTION
    from workflows.task_queues import CALLBACKS_QUEUE

RESEND = "resend"


@workflow.defn
class RedeliveryWorkflow:
    """Sees to some events until each is delivered or dead. Their rows say which are due."""

    def __init__(self) -> None:
        self._again = False
        self._notes: list[str] = []

    @workflow.run
    async def run(self, asked: Resend) -> str:
        while True:
            self._again = False
            told = start_delivery(asked.event_ids, summary=f"tell the mall again: {len(asked.event_ids)} event(s)")
            await workflow.wait_condition(lambda: told.done() or self._again)  # noqa: B023 - awaited within this turn
            if not self._again:
                break
            told.cancel()
        delivered = await told
        if delivered.dead:
            self._note(f"{delivered.dead} callback(s) could not be delivered.")
            workflow.upsert_search_attributes([NEEDS_ATTENTION.value_set(True)])
        return f"{delivered.delivered} delivered, {delivered.dead} dead"

    @workflow.signal(name=RESEND, description='Do not wait for the next try: {"operator": "you"}')
    def resend(self, payload: Any = None, *surplus: Any) -> None:  # noqa: ANN401 - an operator may have written it
        try:
            asked = parse_signal(ResendSignal, payload, surplus)
        except UnusablePayloadError as mistake:
            self._note(f"resend changed nothing: {mistake}")
            return
        self._again = True
        self._note(f"resend by {asked.operator or 'somebody'}.")

    def _note(self, text: str) -> None:
        self._notes = [*self._notes, f"{moment(workflow.now())}: {text}"][-5:]
        workflow.set_current_details("\n\n".join(self._notes))


@workflow.defn
class SampleWorkflow:
    """Sends one sample, once."""

    @workflow.run
    async def run(self, sample: Sample) -> SampleReply:
        return await workflow.execute_activity_method(
            CallbackActivities.send_sample,
            sample,
            task_queue=CALLBACKS_QUEUE,
            start_to_close_timeout=DELIVERY,
            retry_policy=RetryPolicy(maximum_attempts=1),
            summary=f"a sample of {sample.type}",
        )
