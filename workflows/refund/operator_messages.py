"""What operators tell a refund's workflow: by a signal with any JSON, parsed here, or by the API's update of that name."""

from typing import Any

from temporalio import workflow
from temporalio.exceptions import FailureError

with workflow.unsafe.imports_passed_through():
    from domain.messages.acts import Act, Outcome
    from domain.messages.base import WorkflowFailure
    from domain.messages.refunds import DecideByOperator, RefundAction
    from domain.messages.signals import CloseManuallySignal, DecideSignal, ResendSignal
    from workflows.activity_calls import is_defect, refusal, refusal_of
    from workflows.operator_inbox import OperatorMessage
    from workflows.operator_signals import signal_act
    from workflows.refund.steps import RefundSteps

AS_SIGNAL = "As the signal of this name, with an answer. The API's POST /v1/ops/refunds/…/"


class RefundOperatorMessages(RefundSteps):
    # --- by a signal ---

    @workflow.signal(description='Answer in the mall\'s place: {"approve": true, "operator": "you", "note": "why"}')
    async def decide(self, payload: Any = None, *surplus: Any) -> None:  # noqa: ANN401
        if signal := self._log.parse(DecideSignal, payload, surplus, RefundAction.DECIDE):
            act = signal_act(signal.operator, signal.note)
            await self._as_signal(OperatorMessage(RefundAction.DECIDE, act, approve=signal.approve))

    @workflow.signal(description='Tell the mall again, now: {"operator": "you"}')
    async def resend(self, payload: Any = None, *surplus: Any) -> None:  # noqa: ANN401
        if signal := self._log.parse(ResendSignal, payload, surplus, RefundAction.RESEND):
            await self._as_signal(OperatorMessage(RefundAction.RESEND, signal_act(signal.operator, "")))

    @workflow.signal(description='The mall was told outside the platform: {"operator": "you", "note": "how"}')
    async def close_manually(self, payload: Any = None, *surplus: Any) -> None:  # noqa: ANN401
        if signal := self._log.parse(CloseManuallySignal, payload, surplus, RefundAction.CLOSE_MANUALLY):
            await self._as_signal(OperatorMessage(RefundAction.CLOSE_MANUALLY, signal_act(signal.operator, signal.note)))

    # --- by an update: the API's, which answers its operator with the outcome ---

    @workflow.update(name=RefundAction.DECIDE, description=f"{AS_SIGNAL}decision.")
    async def decide_and_answer(self, decision: DecideByOperator) -> Outcome:
        return await self._as_update(OperatorMessage(RefundAction.DECIDE, decision.act, approve=decision.approve))

    @workflow.update(name=RefundAction.RESEND, description=f"{AS_SIGNAL}resend.")
    async def resend_and_answer(self, act: Act) -> Outcome:
        return await self._as_update(OperatorMessage(RefundAction.RESEND, act))

    @workflow.update(name=RefundAction.CLOSE_MANUALLY, description=f"{AS_SIGNAL}close_manually.")
    async def close_manually_and_answer(self, act: Act) -> Outcome:
        return await self._as_update(OperatorMessage(RefundAction.CLOSE_MANUALLY, act))

    # --- what both do ---

    async def _perform(self, message: OperatorMessage) -> Outcome:
        """Waits for the saga to act on it; where it does not, that is recorded."""
        if self._input is None:
            raise refusal(self._unusable, WorkflowFailure.UNUSABLE_INPUT)
        self._inbox.put(message)
        await workflow.wait_condition(lambda: message.is_over)
        outcome = message.outcome or await self._decline(message)
        self._log.note_act(message.action, message.act, outcome)
        return outcome

    async def _as_update(self, message: OperatorMessage) -> Outcome:
        try:
            return await self._perform(message)
        except FailureError as exc:
            raise refusal_of(exc) from exc

    async def _as_signal(self, message: OperatorMessage) -> None:
        try:
            await self._perform(message)
        except FailureError as exc:
            # Raised from a signal's handler, it would end the workflow.
            if not is_defect(exc):
                raise
            self._log.note_failure(message.action, message.act, refusal_of(exc).message)
