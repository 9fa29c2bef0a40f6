"""Callbacks beside teams and refunds: events that are delivered again on request, one or a whole range, and samples."""

from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.interfaces import CallbackActivities, RedeliveryActivities
    from domain.messages.callbacks import MassRedeliver, Redeliver, RedeliverNext, RedeliveryState, Sample, SampleReply
    from domain.messages.signals import ResendSignal
    from workflows.activity_calls import RETRY_FOREVER
    from workflows.deliveries import DELIVERY, ONE_ATTEMPT, start_delivery
    from workflows.details import redelivery_details
    from workflows.markdown import quote
    from workflows.operator_log import OperatorLog
    from workflows.task_queues import CALLBACKS_QUEUE

RESEND = "resend"
SLICE_WITHIN, HEARTBEAT = timedelta(minutes=5), timedelta(minutes=1)
FIRST_PAUSE, LONGEST_PAUSE = timedelta(seconds=1), timedelta(minutes=5)
"""while the mall takes nothing"""


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
class MassRedeliveryWorkflow:
    """Sends a mall's events of a time range again, slice after slice, until each is delivered or dead.

    Its rows say what is left: a run that is started again goes on where the last one stopped.
    """

    @workflow.init
    def __init__(self, request: MassRedeliver) -> None:
        self._request = request
        self._again = False
        self._state: RedeliveryState | None = None
        self._log = OperatorLog(self._details)

    @workflow.run
    async def run(self, request: MassRedeliver) -> str:
        pause = FIRST_PAUSE
        while not (state := await self._send_next()).finished:
            if workflow.info().is_continue_as_new_suggested():
                workflow.continue_as_new(request)
            if state.advanced:
                pause = FIRST_PAUSE
            else:
                await self._wait(state.next_attempt_at, pause)
                pause = min(pause * 2, LONGEST_PAUSE)
        if state.dead or state.unsent:
            self._log.note(f"{state.dead} callback(s) could not be delivered, {state.unsent} event(s) were not tried.")
            self._log.flag(needs_attention=True)
        return f"{state.delivered} delivered, {state.dead} dead, of {state.count} event(s)"

    @workflow.signal(name=RESEND, description='Do not wait for the next attempt: {"operator": "you"}')
    def resend(self, payload: Any = None, *surplus: Any) -> None:  # noqa: ANN401 - an operator may have written it
        if signal := self._log.parse(ResendSignal, payload, surplus, "resend"):
            self._again = True
            self._log.note(f"resend by {quote(signal.operator) or 'somebody'}.")

    async def _send_next(self) -> RedeliveryState:
        again, self._again = self._again, False
        sent = self._state.resent if self._state else 0
        self._state = await workflow.execute_activity_method(
            RedeliveryActivities.redeliver_next,
            RedeliverNext(redelivery_id=self._request.redelivery_id, again=again),
            task_queue=CALLBACKS_QUEUE,
            start_to_close_timeout=SLICE_WITHIN,
            heartbeat_timeout=HEARTBEAT,
            retry_policy=RETRY_FOREVER,
            summary=f"send the next events, after {sent}",
        )
        self._log.show()
        return self._state

    async def _wait(self, next_attempt_at: datetime | None, pause: timedelta) -> None:
        until = max(next_attempt_at or workflow.now(), workflow.now() + pause)
        with suppress(TimeoutError):
            await workflow.wait_condition(
                lambda: self._again, timeout=until - workflow.now(), timeout_summary="the mall takes nothing at present"
            )

    def _details(self, notes: list[str]) -> str:
        state = self._state
        progress = [] if state is None else [redelivery_details(state)]
        return "\n\n".join([*progress, *notes])


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
