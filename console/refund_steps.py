"""How far a refund is, step by step: done, now, to come, or not any more."""

from typing import NamedTuple

from domain.lifecycle import MallAnswer, RefundKind, RefundStatus
from domain.schemas.refunds import OpsRefund

ASK = "The mall is asked whether the member may leave"
CANCEL = "The unpaid order is cancelled"
RELEASE = "The seat and its quotas are given back"
TELL = "The mall is told to return the money"
TELL_CANCELLED = "The mall is told of the cancellation"
FINISH = "The refund is done"

STEPS = {
    RefundKind.UNPAID: (CANCEL, RELEASE, TELL_CANCELLED, FINISH),
    RefundKind.PAID_UNFORMED: (RELEASE, TELL, FINISH),
    RefundKind.PAID_FORMED: (ASK, RELEASE, TELL, FINISH),
    RefundKind.UNSETTLED: (RELEASE, TELL, FINISH),
}


class Step(NamedTuple):
    text: str
    state: str
    """done, next, later or never"""


def refund_steps(refund: OpsRefund) -> list[Step]:
    steps = STEPS[refund.kind]
    if refund.status is RefundStatus.DONE:
        return [Step(text, "done") for text in steps]
    if refund.status is RefundStatus.REJECTED:
        return [Step(text, "done" if text == ASK else "never") for text in steps]
    # An open refund of another kind gave its seat back in its first transaction.
    first = 0 if refund.kind is RefundKind.PAID_FORMED and refund.answer is not MallAnswer.AGREED else steps.index(RELEASE) + 1
    return [Step(text, "done" if n < first else "next" if n == first else "later") for n, text in enumerate(steps)]
