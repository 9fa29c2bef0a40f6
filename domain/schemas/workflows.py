"""The public JSON of links to workflows, and their runs."""

from domain.types import Moment, Schema


class WorkflowLink(Schema):
    """The workflow behind an object."""

    id: str
    url: str | None = None
    """its history in the Temporal UI; null: no UI is configured"""


class WorkflowRun(Schema):
    """One run of a workflow."""

    id: str
    """of the workflow"""
    status: str
    began_at: Moment
    ended_at: Moment | None
