"""One filling of an audience: a rule's job over the orders, then the deletion of the members that it replaced.

After an upload it does the second part alone: the first finds in the rows that the filling has ended.
"""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.audiences import AudienceActivities
    from domain.messages.audiences import AudienceImportInput, FailImport, ImportState
    from workflows.activity_calls import execute_batched, execute_with_retries, failure_of
    from workflows.saga import ends_the_workflow
    from workflows.task_queues import REFUNDS_QUEUE


@workflow.defn
class AudienceImportWorkflow:
    @workflow.run
    async def run(self, asked: AudienceImportInput) -> str:
        try:
            state: ImportState = await execute_batched(
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
            failed = FailImport(filling=asked.filling, why=why, now=workflow.now())
            await execute_with_retries(AudienceActivities.fail_filling, failed, summary="give it up", task_queue=REFUNDS_QUEUE)
            await self._clear(asked)
            raise
        await self._clear(asked)
        return f"{state.status}: {state.member_count} members"

    async def _clear(self, asked: AudienceImportInput) -> None:
        summary = "delete members that are no longer in force"
        await execute_batched(AudienceActivities.clear_replaced_members, asked, summary=summary, task_queue=REFUNDS_QUEUE)
