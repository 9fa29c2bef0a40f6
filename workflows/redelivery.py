"""Callbacks beside teams and refunds: events that are delivered again on request, and samples."""

from typing import Any

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.interfaces import CallbackActivities
    from domain.messages.callbacks import Redeliver, Sample, SampleReply
    from domain.messages.signals import ResendSignal
    from workflows.deliveries import DELIVERY, ONE_ATTEMPT, start_delivery
    from workflows.markdown import quote
    from workflows.operator_log import OperatorLog
    from workflows.task_queues import CALLBACKS_QUEUE

RESEND = "resend"


@workflow.defn
class RedeliveryWorkflow:
    """Delivers some events, until each is delivered or dead. Their rows say which are due."""

    @workflow.init
    def __init__(self, request: Redeliver) -> None:  # noqa: ARG002 - as run() takes it
        self._again = False
        self._log = OperatorLog("\n\n".join)

    @workflow.run
    async def run(self, request: Redeliver) -> str:
        while True:
            self._again = False
            delivery = start_delivery(request.event_ids, summary=f"deliver again: {len(request.event_ids)} event(s)")
            await workflow.wait_condition(lambda: delivery.done() or self._again)  # noqa: B023 - awaited within this turn
            if not self._again:
                break
            delivery.cancel()
        delivered = await delivery
        if delivered.dead:
            self._log.note(f"{delivered.dead} callback(s) could not be delivered.")
            self._log.flag(needs_attention=True)
        return f"{delivered.delivered} delivered, {delivered.dead} dead"

    @workflow.signal(name=RESEND, description='Do not wait for the next attempt: {"operator": "you"}')
    def resend(self, payload: Any = None, *surplus: Any) -> None:  # noqa: ANN401 - an operator may have written it
        if signal := self._log.parse(ResendSignal, payload, surplus, "resend"):
            self._again = True
            self._log.note(f"resend by {quote(signal.operator) or 'somebody'}.")


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
            retry_policy=ONE_ATTEMPT,
            summary=f"a sample of {sample.type}",
        )
