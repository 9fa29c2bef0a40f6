"""What operators ask of a team's workflow: any JSON is accepted, and parsed here."""

from datetime import timedelta
from typing import Any

from temporalio import workflow
from temporalio.exceptions import FailureError

with workflow.unsafe.imports_passed_through():
    from activities.interfaces import CallbackActivities, RefundStartActivities, TeamActivities
    from domain.lifecycle import TeamDecision, TeamStatus
    from domain.messages.callbacks import ReviveCallbacks
    from domain.messages.refunds import RefundByOperator
    from domain.messages.signals import ExtendSignal, OperatorSignal, RefundSignal, ResendCallbacksSignal
    from domain.messages.teams import ExtendTeam
    from workflows.activity_calls import execute_with_retries, is_defect, refusal_of
    from workflows.details import moment
    from workflows.markdown import SUMMARY_PART, quote
    from workflows.task_queues import CALLBACKS_QUEUE, REFUNDS_QUEUE
    from workflows.team.steps import TeamSteps


class TeamOperatorSignals(TeamSteps):
    @workflow.signal(description='Give the team more time: {"minutes": 60, "operator": "you"}')
    async def extend(self, payload: Any = None, *surplus: Any) -> None:  # noqa: ANN401
        signal = self._log.parse(ExtendSignal, payload, surplus, "extend")
        if signal is None:
            return
        if self._state.deadline is None or not self._state.is_forming:
            self._log.note(f"extend changed nothing: the team is {self._state.status}.")
            return
        extend = ExtendTeam(team_id=self._team.team_id, deadline=self._state.deadline + timedelta(minutes=signal.minutes))
        extended = await execute_with_retries(TeamActivities.extend_team, extend, summary=f"extend by {signal.minutes} min")
        self._apply(extended)
        wish = f"extend by {signal.minutes} min by {quote(signal.operator) or 'an operator'}"
        if extended.team.status is TeamStatus.FORMING:
            self._log.note(f"{wish}: {moment(extended.team.deadline)}.")
        else:
            self._log.note(f"{wish} changed nothing: the team is {extended.team.status}.")

    @workflow.signal(description='Complete the team with who has paid: {"operator": "you", "reason": "why"}')
    async def complete(self, payload: Any = None, *surplus: Any) -> None:  # noqa: ANN401
        if signal := self._log.parse(OperatorSignal, payload, surplus, "complete"):
            await self._conclude_by_operator(TeamDecision.COMPLETE, "complete", signal)

    @workflow.signal(description='Fail the team now; who has paid gets the money back: {"operator": "you", "reason": "why"}')
    async def close(self, payload: Any = None, *surplus: Any) -> None:  # noqa: ANN401
        if signal := self._log.parse(OperatorSignal, payload, surplus, "close"):
            await self._conclude_by_operator(TeamDecision.CLOSE, "close", signal)

    @workflow.signal(description='Undo a member\'s order: {"out_trade_no": "T1", "reason": "why", "operator": "you"}')
    async def refund(self, payload: Any = None, *surplus: Any) -> None:  # noqa: ANN401
        signal = self._log.parse(RefundSignal, payload, surplus, "refund")
        if signal is None:
            return
        number, by = quote(signal.out_trade_no, SUMMARY_PART), quote(signal.operator) or "an operator"
        request = RefundByOperator(team_id=self._team.team_id, now=workflow.now(), **signal.model_dump())
        outcome = await execute_with_retries(
            RefundStartActivities.start_refund_by_operator,
            request,
            summary=f"start a refund of {number}",
            task_queue=REFUNDS_QUEUE,
        )
        self._log.note(f"refund of {number} by {by}: {outcome}.")

    @workflow.signal(description='Deliver again what was given up of this team\'s events: {"operator": "you"}')
    async def resend_callbacks(self, payload: Any = None, *surplus: Any) -> None:  # noqa: ANN401
        signal = self._log.parse(ResendCallbacksSignal, payload, surplus, "resend_callbacks")
        if signal is None:
            return
        revive = ReviveCallbacks(team_id=self._team.team_id, now=workflow.now())
        summary = "make dead callbacks due again"
        revived = await execute_with_retries(
            CallbackActivities.revive_callbacks, revive, summary=summary, task_queue=CALLBACKS_QUEUE
        )
        count, by = len(revived.event_ids), quote(signal.operator) or "an operator"
        self._log.note(f"resend_callbacks by {by}: {f'{count} event(s) are sent again' if count else 'nothing was given up'}.")
        self._deliveries.start(revived.event_ids, "deliver again", again=True)

    async def _conclude_by_operator(self, decision: TeamDecision, name: str, signal: OperatorSignal) -> None:
        if not self._state.has_seat:
            self._log.note(f"{name} changed nothing: the team has no seat yet.")
            return
        wish = f"{name} by {quote(signal.operator) or 'an operator'} ({quote(signal.reason) or 'no reason given'})"
        try:
            concluded = await self._conclude(decision)
        except FailureError as exc:
            # Raised from a signal's handler, it would end the workflow.
            if not is_defect(exc):
                raise
            self._log.note(f"{wish} failed: {quote(refusal_of(exc).message)}")
        else:
            self._log.note(f"{wish}: {concluded.detail}")
