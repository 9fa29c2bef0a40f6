"""The public JSON of exports: lists that a workflow writes as files."""

from datetime import timedelta
from enum import StrEnum

from domain.schemas.workflows import WorkflowLink
from domain.types import Moment, Schema

KEPT = timedelta(days=1)
"""how long a finished export can be read"""


class ExportKind(StrEnum):
    """The list that is exported."""

    ORDERS = "orders"
    REFUNDS = "refunds"
    TEAMS = "teams"
    STATISTICS = "statistics"
    SETTLEMENTS = "settlements"
    AUDIT = "audit"


class ExportStatus(StrEnum):
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


class Export(Schema):
    """All rows of a list that fit some filters, as a CSV file that is kept for a day."""

    export_id: str
    kind: ExportKind
    filters: dict[str, str | int | bool]
    """as the list takes them"""
    status: ExportStatus
    failure: str | None
    """why it failed"""
    rows: int
    """written so far"""
    reached: Moment | None
    """the time of the last of these: the newest come first"""
    requested_by: str
    """name of the key"""
    requested_at: Moment
    finished_at: Moment | None
    kept_until: Moment | None
    """when the file is deleted; null: it is not finished"""
    workflow: WorkflowLink


class Exports(Schema):
    """Exports that are running or kept, the latest first."""

    data: list[Export]
