"""The public JSON of links to workflows."""

from domain.types import Schema


class WorkflowLink(Schema):
    """The workflow behind an object."""

    id: str
    url: str | None = None
    """its history in the Temporal UI; null: no UI is configured"""
