"""One import of an audience: its rule over the orders, then the deletion of the members that it replaced.

After an upload only the deletion is left: the first step finds in the rows that the import is done.
"""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.interfaces import AudienceActivities
    from domain.messages.audiences import AudienceImportInput, FailImport
    from workflows.activity_calls import application_error_of, execute_batched, execute_with_retries
    from workflows.markdown import quote
    from workflows.saga import ends_workflow


@workflow.defn
class AudienceImportWorkflow:
    @workflow.run
    async def run(self, audience: AudienceImportInput) -> str:
        try:
            summary = f"import members of audience {quote(audience.audience_id)}"
            state = await execute_batched(AudienceActivities.import_members, audience, summary=summary)
        except BaseException as exc:
            if not ends_workflow(exc):
                raise
            await self._fail(audience, exc)
            await self._clear(audience)
            raise
        await self._clear(audience)
        return f"{state.status}: {state.member_count} members"

    async def _fail(self, audience: AudienceImportInput, exc: BaseException) -> None:
        cause = application_error_of(exc)
        reason = f"A defect stopped it: {cause.message}" if cause else "Its workflow was cancelled."
        failed = FailImport(import_id=audience.import_id, reason=reason, now=workflow.now())
        await execute_with_retries(AudienceActivities.fail_import, failed, summary="fail the import")

    async def _clear(self, audience: AudienceImportInput) -> None:
        summary = "delete members that are no longer in force"
        await execute_batched(AudienceActivities.clear_replaced_members, audience, summary=summary)
