"""Reconciliation: every minute, through the same transactions, what no live workflow will do any more."""

import asyncio
from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError, ApplicationError

with workflow.unsafe.imports_passed_through():
    from activities.interfaces import CallbackActivities, ReconciliationActivities
    from domain.messages.base import WorkflowFailure
    from domain.messages.reconciliation import Reconcile, Reconciled
    from workflows.activity_calls import Activity, AnswerT
    from workflows.task_queues import CALLBACKS_QUEUE

# Longer than all items of a step may take together; then the next run goes on.
STEP = timedelta(minutes=5)
HEARTBEAT = timedelta(minutes=1, seconds=30)
ATTEMPTS = RetryPolicy(maximum_attempts=3)


@workflow.defn
class ReconciliationWorkflow:
    """Each step by itself: one that fails holds up no other, and is tried again in the next run."""

    @workflow.init
    def __init__(self) -> None:
        self._failures: list[str] = []

    @workflow.run
    async def run(self) -> str:
        reconcile = Reconcile(now=workflow.now())
        activities = ReconciliationActivities
        teams = await self._step(activities.conclude_overdue_teams, reconcile, "release overdue seats, conclude teams")
        concluded = reconcile.model_copy(update={"team_ids": teams.team_ids}) if teams else reconcile
        refunds, events, workflows, invariants, booked, _ = await asyncio.gather(
            self._step(activities.start_unattended_refunds, concluded, "start refunds that have no live workflow"),
            self._step(CallbackActivities.deliver_overdue, reconcile, "deliver overdue events", CALLBACKS_QUEUE),
            self._step(activities.find_missing_workflows, reconcile, "look for live teams without a workflow"),
            self._step(activities.check_invariants, reconcile, "check the invariants of the next teams"),
            self._step(activities.book_unearned_discounts, reconcile, "book what teams did not earn"),
            self._step(activities.clean_up_audiences, reconcile, "clean up audiences"),
        )
        if self._failures:
            message = "; ".join(self._failures)
            raise ApplicationError(message, type=WorkflowFailure.RECONCILIATION_INCOMPLETE, non_retryable=True)
        in_attention = sum(answer.failed for answer in (teams, refunds, events, workflows, invariants) if answer)
        return (
            f"{_count(teams)} teams, {_count(refunds)} refunds, {_count(events)} events, {_count(booked)} unearned discounts; "
            f"checked {_count(workflows)} workflows, {_count(invariants)} teams; {in_attention} in attention"
        )

    async def _step(
        self, activity: Activity[Reconcile, AnswerT], reconcile: Reconcile, summary: str, task_queue: str | None = None
    ) -> AnswerT | None:
        try:
            return await workflow.execute_activity_method(
                activity,
                reconcile,
                task_queue=task_queue,
                start_to_close_timeout=STEP,
                heartbeat_timeout=HEARTBEAT,
                retry_policy=ATTEMPTS,
                summary=summary,
            )
        except ActivityError as exc:
            self._failures.append(f"{summary}: {exc.cause}")
            return None


def _count(answer: Reconciled | None) -> int:
    return answer.count if answer else 0
