"""What travels between the API, the workflows and the activities.

Histories outlive deployments: a field added later has a default, and none is ever renamed or removed.
"""

from domain.messages.base import WorkflowMessage
from domain.schemas.audiences import ImportStatus
from domain.types import Moment

# --- audiences ---


class AudienceImportInput(WorkflowMessage):
    """Names a filling of an audience."""

    audience_id: str
    filling: int


class ImportState(WorkflowMessage):
    """How far it is."""

    status: ImportStatus
    seen: int = 0
    member_count: int = 0
    last_user: str = ""


class FailImport(WorkflowMessage):
    filling: int
    why: str
    now: Moment


class ClearedMembers(WorkflowMessage):
    """Fillings whose members were deleted."""

    fillings: list[int] = []
