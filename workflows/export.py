"""One export: writes a list as a file, keeps it for a day, and deletes it."""

from datetime import timedelta

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.interfaces import ExportActivities
    from domain.messages.exports import DeleteExports, ExportInput, FailExport
    from domain.schemas.exports import KEPT
    from workflows.activity_calls import application_error_of, execute_batched, execute_with_retries
    from workflows.saga import ends_workflow

DELETED_AFTER = KEPT + timedelta(minutes=1)
"""a minute more than the rows say, so that the file is due when its deletion comes"""


@workflow.defn
class ExportWorkflow:
    @workflow.run
    async def run(self, export: ExportInput) -> str:
        try:
            state = await execute_batched(ExportActivities.write_export, export, summary="write the file")
        except BaseException as exc:
            if not ends_workflow(exc):
                raise
            await self._fail(export, exc)
            raise
        await workflow.sleep(DELETED_AFTER, summary="keep the file")
        expired = DeleteExports(now=workflow.now())
        await execute_with_retries(ExportActivities.delete_exports, expired, summary="delete files that are kept no longer")
        return f"{state.status}: {state.rows} rows"

    async def _fail(self, export: ExportInput, exc: BaseException) -> None:
        cause = application_error_of(exc)
        reason = f"A defect stopped it: {cause.message}" if cause else "Its workflow was cancelled."
        failed = FailExport(export_id=export.export_id, reason=reason, now=workflow.now())
        await execute_with_retries(ExportActivities.fail_export, failed, summary="fail the export")
