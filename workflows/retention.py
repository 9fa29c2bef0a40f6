"""Retention: every hour, old teams are removed with all their rows, where the workers' setting says after how many days."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.interfaces import RetentionActivities
    from domain.messages.retention import RemoveOldTeams
    from workflows.activity_calls import execute_batched


@workflow.defn
class RetentionWorkflow:
    @workflow.run
    async def run(self) -> str:
        request = RemoveOldTeams(now=workflow.now())
        removed = await execute_batched(RetentionActivities.remove_old_teams, request, summary="remove old teams")
        if removed.days is None:
            return "off: GROUPBUY_RETENTION_DAYS is not set"
        kept = "".join(f"; {count} kept: {reason}" for reason, count in removed.kept.items())
        counts = f"{removed.teams} teams, {removed.orders} orders, {removed.events} events"
        return f"older than {removed.days} days: {removed.done} {counts}{kept}"
