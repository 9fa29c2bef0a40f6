"""What malls and operators see of a trade: order, team, payment, quote (design.md section 8)."""

from domain.types import Schema


class WorkflowLink(Schema):
    id: str
    url: str | None = None
    """its history in the Temporal UI, where that is configured"""
