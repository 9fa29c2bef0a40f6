"""What the API, the workflows and the activities tell each other about imports of audience members."""

from domain.messages.base import WorkflowMessage
from domain.schemas.audiences import ImportStatus
from domain.types import Moment


class AudienceImportInput(WorkflowMessage):
    """Names an import of an audience."""

    audience_id: str
    import_id: int


class ImportState(WorkflowMessage):
    """How far an import is."""

    status: ImportStatus
    seen: int = 0
    member_count: int = 0
    last_user: str = ""


class FailImport(WorkflowMessage):
    """Asks to fail an import for a reason."""

    import_id: int
    reason: str
    now: Moment


class ClearedMembers(WorkflowMessage):
    """Imports whose members were deleted."""

    import_ids: list[int] = []


class Clearing(WorkflowMessage):
    """How far the replaced members of an audience have been deleted."""

    cleared: list[int] = []
    import_id: int | None = None
    """the import whose members are being deleted"""
    after: str = ""
    """the last user of those that are: deleted rows stay in the index until vacuum, and are not read again"""
