"""Statistics: every few minutes, the days that may have changed are counted again from the rows."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.interfaces import StatisticsActivities
    from domain.messages.statistics import CountDays
    from workflows.activity_calls import execute_batched


@workflow.defn
class StatisticsWorkflow:
    @workflow.run
    async def run(self) -> str:
        days, remaining = 0, 1
        while remaining:
            request = CountDays(now=workflow.now())
            answer = await execute_batched(StatisticsActivities.count_days, request, summary="count the days that are due")
            days, remaining = days + answer.counted, answer.remaining
        return f"{days} days counted"
