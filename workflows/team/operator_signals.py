"""What operators ask of a team's workflow: by a signal with any JSON, parsed here, or by the API's update of that name."""

from collections.abc import Coroutine
from typing import Any

from temporalio import workflow
from temporalio.exceptions import FailureError

with workflow.unsafe.imports_passed_through():
    from activities.interfaces import CallbackActivities, RefundStartActivities, TeamActivities
    from domain.lifecycle import TeamDecision
    from domain.messages.acts import Act, Outcome
    from domain.messages.callbacks import ReviveCallbacks
    from domain.messages.refunds import RefundByOperator
    from domain.messages.signals import ExtendSignal, OperatorSignal, RefundSignal, ResendCallbacksSignal
    from domain.messages.teams import ExtendByOperator, ExtendTeam
    from workflows.activity_calls import execute_with_retries, is_defect, refusal_of
    from workflows.markdown import SUMMARY_PART, quote
    from workflows.operator_signals import signal_act
    from workflows.task_queues import CALLBACKS_QUEUE, REFUNDS_QUEUE
    from workflows.team.steps import TeamSteps

# Callers name the updates: the SDK types one that has a description as if its result were a coroutine.
EXTEND, COMPLETE, CLOSE = "extend", "complete", "close"
AS_SIGNAL = "As the signal of this name, with an answer. The API's POST /v1/ops/teams/…/"


class TeamOperatorSignals(TeamSteps):
    # --- by a signal ---

    @workflow.signal(description='Give the team more time: {"minutes": 60, "operator": "you", "reason": "why"}')
    async def extend(self, payload: Any = None, *surplus: Any) -> None:  # noqa: ANN401
        if signal := self._log.parse(ExtendSignal, payload, surplus, EXTEND):
            act = signal_act(signal.operator, signal.reason)
            await self._as_signal(EXTEND, act, self._extend(signal.minutes, act))

    @workflow.signal(description='Complete the team with who has paid: {"operator": "you", "reason": "why"}')
    async def complete(self, payload: Any = None, *surplus: Any) -> None:  # noqa: ANN401
        if signal := self._log.parse(OperatorSignal, payload, surplus, COMPLETE):
            act = signal_act(signal.operator, signal.reason)
            await self._as_signal(COMPLETE, act, self._conclude_by_operator(TeamDecision.COMPLETE, COMPLETE, act))

    @workflow.signal(description='Fail the team now; who has paid gets the money back: {"operator": "you", "reason": "why"}')
    async def close(self, payload: Any = None, *surplus: Any) -> None:  # noqa: ANN401
        if signal := self._log.parse(OperatorSignal, payload, surplus, CLOSE):
            act = signal_act(signal.operator, signal.reason)
            await self._as_signal(CLOSE, act, self._conclude_by_operator(TeamDecision.CLOSE, CLOSE, act))

    @workflow.signal(description='Undo a member\'s order: {"out_trade_no": "T1", "reason": "why", "operator": "you"}')
    async def refund(self, payload: Any = None, *surplus: Any) -> None:  # noqa: ANN401
        signal = self._log.parse(RefundSignal, payload, surplus, "refund")
        if signal is None:
            return
        act = signal_act(signal.operator, signal.reason)
        request = RefundByOperator(team_id=self._team.team_id, out_trade_no=signal.out_trade_no, now=workflow.now(), act=act)
        number = quote(signal.out_trade_no, SUMMARY_PART)
        outcome = await execute_with_retries(
            RefundStartActivities.start_refund_by_operator,
            request,
            summary=f"start a refund of {number}",
            task_queue=REFUNDS_QUEUE,
        )
        self._log.note_act(f"refund of {number}", act, outcome)

    @workflow.signal(description='Deliver again what was given up of this team\'s events: {"operator": "you"}')
    async def resend_callbacks(self, payload: Any = None, *surplus: Any) -> None:  # noqa: ANN401
        signal = self._log.parse(ResendCallbacksSignal, payload, surplus, "resend_callbacks")
        if signal is None:
            return
        act = signal_act(signal.operator, "")
        revive = ReviveCallbacks(team_id=self._team.team_id, now=workflow.now(), act=act)
        summary = "make dead callbacks due again"
        revived = await execute_with_retries(
            CallbackActivities.revive_callbacks, revive, summary=summary, task_queue=CALLBACKS_QUEUE
        )
        self._log.note_act("resend_callbacks", act, revived.outcome)
        self._deliveries.start(revived.event_ids, "deliver again", again=True)

    # --- by an update: the API's, which answers its operator with the outcome ---

    @workflow.update(name=EXTEND, description=f"{AS_SIGNAL}{EXTEND}.")
    async def extend_and_answer(self, request: ExtendByOperator) -> Outcome:
        return await self._as_update(self._extend(request.minutes, request.act))

    @workflow.update(name=COMPLETE, description=f"{AS_SIGNAL}{COMPLETE}.")
    async def complete_and_answer(self, act: Act) -> Outcome:
        return await self._as_update(self._conclude_by_operator(TeamDecision.COMPLETE, COMPLETE, act))

    @workflow.update(name=CLOSE, description=f"{AS_SIGNAL}{CLOSE}.")
    async def close_and_answer(self, act: Act) -> Outcome:
        return await self._as_update(self._conclude_by_operator(TeamDecision.CLOSE, CLOSE, act))

    # --- the acts ---

    async def _extend(self, minutes: int, act: Act) -> Outcome:
        if not await self._has_row():
            return self._nothing_to_act_on(EXTEND, act)
        extend = ExtendTeam(team_id=self._team.team_id, minutes=minutes, now=workflow.now(), act=act)
        extended = await execute_with_retries(TeamActivities.extend_team, extend, summary=f"extend by {minutes} min")
        self._apply(extended)
        self._log.note_act(f"extend by {minutes} min", act, extended.outcome)
        return extended.outcome

    async def _conclude_by_operator(self, decision: TeamDecision, name: str, act: Act) -> Outcome:
        if not await self._has_row():
            return self._nothing_to_act_on(name, act)
        concluded = await self._conclude(decision, act)
        self._log.note_act(name, act, concluded.outcome)
        return concluded.outcome

    async def _has_row(self) -> bool:
        await workflow.wait_condition(lambda: self._has_read_rows)
        return self._state.has_seat

    def _nothing_to_act_on(self, name: str, act: Act) -> Outcome:
        outcome = Outcome(changed=False, detail="The team has no seat yet.")
        self._log.note_act(name, act, outcome)
        return outcome

    async def _as_update(self, doing: Coroutine[Any, Any, Outcome]) -> Outcome:
        try:
            return await doing
        except FailureError as exc:
            raise refusal_of(exc) from exc

    async def _as_signal(self, name: str, act: Act, doing: Coroutine[Any, Any, Outcome]) -> None:
        try:
            await doing
        except FailureError as exc:
            # Raised from a signal's handler, it would end the workflow.
            if not is_defect(exc):
                raise
            self._log.note_failure(name, act, refusal_of(exc).message)
