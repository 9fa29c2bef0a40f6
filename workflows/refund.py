"""The refund saga. So far it books the money that arrives when an order's team has no workflow any more."""

from temporalio import workflow
from temporalio.exceptions import FailureError

with workflow.unsafe.imports_passed_through():
    from activities.settlement import SettlementActivities
    from domain.messages import PaymentReport, RefundInput, SettledPayment, SettlePayment
    from workflows.steps import durably, refusal_of

REQUEST = "request"  # see team.py


@workflow.defn
class RefundWorkflow:
    @workflow.init
    def __init__(self, order: RefundInput) -> None:
        self._order = order
        self._booked: SettledPayment | None = None

    @workflow.run
    async def run(self, order: RefundInput) -> str:  # noqa: ARG002 - __init__ has it
        await workflow.wait_condition(lambda: self._booked is not None and workflow.all_handlers_finished())
        assert self._booked is not None  # noqa: S101 - the condition above
        workflow.set_current_details(f"{self._order.out_trade_no}: {self._booked.outcome}, {self._booked.reason}.")
        return self._booked.outcome

    @workflow.update(name=REQUEST, description="Book a payment that arrived after the team's workflow had ended.")
    async def request(self, report: PaymentReport) -> SettledPayment:
        try:
            booked = await durably(
                SettlementActivities.settle_payment,
                SettlePayment(report=report, now=workflow.now()),
                summary=f"book {report.amount} for {report.out_trade_no}",
            )
        except FailureError as failure:
            raise refusal_of(failure) from failure
        self._booked = booked
        return booked
