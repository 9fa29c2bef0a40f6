"""The schedules: what Temporal starts again and again."""

from datetime import timedelta

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

from workflows.reconciliation import ReconciliationWorkflow
from workflows.retention import RetentionWorkflow
from workflows.statistics import StatisticsWorkflow
from workflows.task_queues import MASS_QUEUE, RECONCILIATION_QUEUE

RECONCILIATION_ID = "groupbuy-reconciliation"
STATISTICS_ID = "groupbuy-statistics"
RETENTION_ID = "groupbuy-retention"


async def ensure_schedules(client: Client) -> bool:
    """Creates the schedules where they are missing; an operator's changes to them stay.

    Returns:
        whether that of reconciliation was missing: the namespace is new, and has none of the workflows that the rows name.
    """
    reconciliation = ScheduleActionStartWorkflow(
        ReconciliationWorkflow.run,
        id=RECONCILIATION_ID,
        task_queue=RECONCILIATION_QUEUE,
        static_summary="Does what no live workflow does any more",
    )
    statistics = ScheduleActionStartWorkflow(
        StatisticsWorkflow.run,
        id=STATISTICS_ID,
        task_queue=MASS_QUEUE,
        static_summary="Counts the days that may have changed",
    )
    retention = ScheduleActionStartWorkflow(
        RetentionWorkflow.run,
        id=RETENTION_ID,
        task_queue=MASS_QUEUE,
        static_summary="Removes what is kept no longer",
    )
    await _ensure_schedule(client, STATISTICS_ID, statistics, every=timedelta(minutes=5), now=True)
    await _ensure_schedule(client, RETENTION_ID, retention, every=timedelta(hours=1))
    return await _ensure_schedule(client, RECONCILIATION_ID, reconciliation, every=timedelta(minutes=1))


async def _ensure_schedule(
    client: Client, schedule_id: str, action: ScheduleActionStartWorkflow, every: timedelta, *, now: bool = False
) -> bool:
    """Returns whether the schedule was missing; with `now`, a new one runs its workflow at once."""
    spec = ScheduleSpec(intervals=[ScheduleIntervalSpec(every=every)])
    policy = SchedulePolicy(overlap=ScheduleOverlapPolicy.SKIP, catchup_window=every)
    try:
        await client.create_schedule(schedule_id, Schedule(action=action, spec=spec, policy=policy), trigger_immediately=now)
    except ScheduleAlreadyRunningError:
        return False
    return True
