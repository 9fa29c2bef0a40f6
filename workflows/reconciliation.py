"""The net: every minute, through the same transactions, what no live workflow will do any more."""

from contextlib import suppress
from datetime import timedelta

from temporalio import workflow
from temporalio.client import (
    Client,
    Schedule,
    ScheduleActionStartWorkflow,
    ScheduleAlreadyRunningError,
    ScheduleIntervalSpec,
    ScheduleOverlapPolicy,
    SchedulePolicy,
    ScheduleSpec,
)
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError

with workflow.unsafe.imports_passed_through():
    from activities.callbacks.deliver import CallbackActivities
    from activities.reconciliation import ReconciliationActivities
    from activities.refunds import RefundStartActivities
    from activities.seats import SeatActivities
    from activities.settlement import SettlementActivities
    from domain.lifecycle import TeamDecision
    from domain.messages.callbacks import Deliver
    from domain.messages.orders import OverdueSeats
    from domain.messages.reconciliation import FindLeftovers
    from domain.messages.refunds import StartTeamRefunds
    from domain.messages.teams import ConcludeTeam
    from workflows.activity_calls import execute_batched, execute_with_retries
    from workflows.task_queues import CALLBACKS_QUEUE, REFUNDS_QUEUE, TRADE_QUEUE

SCHEDULE_ID = "groupbuy-sweep"


@workflow.defn
class ReconciliationWorkflow:
    @workflow.run
    async def run(self) -> str:
        now = workflow.now()
        left = await execute_with_retries(
            ReconciliationActivities.find_leftovers, FindLeftovers(now=now), summary="look for what is late"
        )
        # A sweep that was under way when refunds came would not replay with them.
        with_refunds = workflow.patched("refunds")
        event_ids = list(left.event_ids)
        done = [f"{len(left.team_ids)} teams"]
        for team_id in left.team_ids:
            overdue = OverdueSeats(team_id=team_id, now=now)
            released = await execute_with_retries(
                SeatActivities.release_overdue_seats, overdue, summary=f"give up unpaid seats of {team_id}"
            )
            ending = ConcludeTeam(team_id=team_id, ending=TeamDecision.DEADLINE, now=now)
            concluded = await execute_with_retries(
                SettlementActivities.conclude_team, ending, summary=f"end {team_id} at its deadline"
            )
            event_ids += [*released.event_ids, *concluded.event_ids]
            if with_refunds and concluded.owed:
                owed, summary = StartTeamRefunds(team_id=team_id), f"start {len(concluded.owed)} refund(s) of {team_id}"
                await execute_batched(RefundStartActivities.start_team_refunds, owed, summary=summary, task_queue=REFUNDS_QUEUE)
        if with_refunds:
            summary = "start refunds that nobody sees to"
            find = FindLeftovers(now=now)
            refunds = await execute_batched(
                RefundStartActivities.start_left_refunds, find, summary=summary, task_queue=REFUNDS_QUEUE
            )
            done.append(f"{refunds.count} refunds")
        if event_ids:
            # One try: what fails again is late again in the next minutes.
            with suppress(ActivityError):
                await workflow.execute_activity_method(
                    CallbackActivities.deliver,
                    Deliver(event_ids=event_ids),
                    task_queue=CALLBACKS_QUEUE,
                    start_to_close_timeout=timedelta(minutes=5),
                    schedule_to_close_timeout=timedelta(minutes=5),
                    retry_policy=RetryPolicy(maximum_attempts=1),
                    summary=f"deliver {len(event_ids)} events",
                )
        return ", ".join([*done, f"{len(event_ids)} events"])


async def ensure_schedule(client: Client) -> None:
    """Makes the schedule where it is missing; an operator's changes to it stay."""
    with suppress(ScheduleAlreadyRunningError):
        await client.create_schedule(
            SCHEDULE_ID,
            Schedule(
                action=ScheduleActionStartWorkflow(
                    ReconciliationWorkflow.run,
                    id=SCHEDULE_ID,
                    task_queue=TRADE_QUEUE,
                    static_summary="Does what no live workflow does any more",
                ),
                spec=ScheduleSpec(intervals=[ScheduleIntervalSpec(every=timedelta(minutes=1))]),
                policy=SchedulePolicy(overlap=ScheduleOverlapPolicy.SKIP, catchup_window=timedelta(minutes=1)),
            ),
        )
