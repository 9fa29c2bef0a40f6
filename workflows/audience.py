"""One filling of an audience: a rule's job over the orders, then the deletion of the members that it replaced.

After an upload it does the second part alone: the first finds in the rows that the filling has ended.
"""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.audiences import AudienceActivities
    from domain.messages import AudienceFilling, FailFilling, FillingState
    from workflows.queues import REFUNDS_QUEUE
    from workflows.saga import ends_the_workflow
    from workflows.steps import durably, failure_of, slices


@workflow.defn
class AudienceWorkflow:
    @workflow.run
    async def run(self, asked: AudienceFilling) -> str:
        try:
            state: FillingState = await slices(
                AudienceActivities.fill_audience,
                asked,
                summary=f"fill audience {asked.audience_id}",
                task_queue=REFUNDS_QUEUE,
            )
        except BaseException as stopped:
            if not ends_the_workflow(stopped):
                raise
            cause = failure_of(stopped)
            why = f"A defect stopped it: {cause.message}" if cause else "Its workflow was cancelled."
            failed = FailFilling(filling=asked.filling, why=why, now=workflow.now())
            await durably(AudienceActivities.fail_filling, failed, summary="give it up", task_queue=REFUNDS_QUEUE)
            await self._clear(asked)
            raise
        await self._clear(asked)
        return f"{state.status}: {state.member_count} members"

    async def _clear(self, asked: AudienceFilling) -> None:
        summary = "delete members that are no longer in force"
        await slices(AudienceActivities.clear_replaced_members, asked, summary=summary, task_queue=REFUNDS_QUEUE)
