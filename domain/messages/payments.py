"""The input of a payment's own workflow."""

from domain.messages.base import WorkflowMessage


class PaymentInput(WorkflowMessage):
    """The order that was paid for."""

    source: str
    out_trade_no: str
    team_id: str
