"""Reconciliation: every minute, through the same transactions, what no live workflow will do any more."""

from contextlib import suppress
from datetime import datetime, timedelta

from temporalio import workflow
from temporalio.exceptions import ActivityError

with workflow.unsafe.imports_passed_through():
    from activities.interfaces import OrderActivities, ReconciliationActivities, RefundStartActivities, TeamActivities
    from domain.lifecycle import TeamDecision
    from domain.messages.orders import ReleaseOverdue
    from domain.messages.reconciliation import FindOverdue
    from domain.messages.refunds import StartTeamRefunds
    from domain.messages.teams import ConcludeTeam
    from workflows.activity_calls import execute_batched, execute_with_retries
    from workflows.deliveries import ONE_ATTEMPT, start_delivery
    from workflows.task_queues import MASS_QUEUE

DELIVERY = timedelta(minutes=5)


@workflow.defn
class ReconciliationWorkflow:
    @workflow.run
    async def run(self) -> str:
        now = workflow.now()
        find = FindOverdue(now=now)
        overdue = await execute_with_retries(ReconciliationActivities.find_overdue, find, summary="find what is overdue")
        event_ids = list(overdue.event_ids)
        for team_id in overdue.team_ids:
            event_ids += await self._conclude_team(team_id, now)
        refunds = await execute_batched(
            RefundStartActivities.start_unattended_refunds,
            find,
            summary="start refunds that have no live workflow",
            task_queue=MASS_QUEUE,
        )
        if event_ids:
            # One attempt: what fails again is overdue again in the next minutes.
            with suppress(ActivityError):
                summary = f"deliver {len(event_ids)} event(s)"
                await start_delivery(event_ids, summary=summary, retries=ONE_ATTEMPT, timeout=DELIVERY)
        return f"{len(overdue.team_ids)} teams, {refunds.count} refunds, {len(event_ids)} events"

    async def _conclude_team(self, team_id: str, now: datetime) -> list[str]:
        """Releases a team's overdue seats, and concludes it at its deadline; returns the events."""
        release = ReleaseOverdue(team_id=team_id, now=now)
        released = await execute_with_retries(
            OrderActivities.release_overdue, release, summary=f"release unpaid seats of {team_id}"
        )
        conclude = ConcludeTeam(team_id=team_id, decision=TeamDecision.DEADLINE, now=now)
        concluded = await execute_with_retries(
            TeamActivities.conclude_team, conclude, summary=f"conclude {team_id} at its deadline"
        )
        if concluded.owed:
            await execute_batched(
                RefundStartActivities.start_team_refunds,
                StartTeamRefunds(team_id=team_id),
                summary=f"start {len(concluded.owed)} refund(s) of {team_id}",
                task_queue=MASS_QUEUE,
            )
        return [*released.event_ids, *concluded.event_ids]
