"""What the API, the workflow and the activities tell each other about exports."""

from domain.messages.base import WorkflowMessage
from domain.schemas.exports import ExportStatus
from domain.types import Moment


class ExportInput(WorkflowMessage):
    export_id: str


class ExportState(WorkflowMessage):
    """How far an export is."""

    status: ExportStatus
    rows: int = 0


class FailExport(WorkflowMessage):
    """Asks to fail an export for a reason."""

    export_id: str
    reason: str
    now: Moment


class DeleteExports(WorkflowMessage):
    """Asks to delete the exports that are kept no longer."""

    now: Moment
