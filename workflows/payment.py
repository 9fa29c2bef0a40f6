"""The payment of an order whose team's workflow cannot book it: it has ended, or it is not running.

A payment is a fact: it is booked all the same, by the transaction that a team's workflow would have run. A refund that follows
from it has a workflow of its own.
"""

from datetime import timedelta

from temporalio import workflow
from temporalio.exceptions import ApplicationError, FailureError

with workflow.unsafe.imports_passed_through():
    from activities.interfaces import OrderActivities, RefundStartActivities
    from domain.ids import team_workflow_id
    from domain.messages.base import WorkflowFailure
    from domain.messages.orders import PaymentReport, SettledPayment, SettlePayment
    from domain.messages.payments import PaymentInput
    from domain.messages.refunds import RefundInput
    from workflows.activity_calls import execute_local_first, execute_with_retries, is_defect, refusal_of
    from workflows.deliveries import Deliveries
    from workflows.markdown import quote
    from workflows.operator_log import OperatorLog

# Callers name the update: the SDK types one that has a description as if its result were a coroutine.
BOOK = "book"
ROWS_CHANGED = "rows_changed"
REPORT_WITHIN = timedelta(minutes=1)


@workflow.defn
class PaymentWorkflow:
    @workflow.init
    def __init__(self, payment: PaymentInput) -> None:
        # A handler may run before run() does: all that it reads is made here.
        self._payment = payment
        self._settled: SettledPayment | None = None
        self._refused: ApplicationError | None = None
        self._deliveries = Deliveries()
        self._log = OperatorLog(self._details)

    @workflow.run
    async def run(self, payment: PaymentInput) -> str:  # noqa: ARG002 - __init__ has it
        settled = await self._await_report()
        self._deliveries.start(settled.event_ids, f"deliver {len(settled.event_ids)} event(s)")
        await self._hint_team()
        await workflow.wait_condition(lambda: not self._deliveries.are_under_way or self._deliveries.any_finished)
        failures = self._deliveries.collect()
        for failure in failures:
            self._log.note(failure)
        self._log.flag(needs_attention=bool(failures))
        await workflow.wait_condition(workflow.all_handlers_finished)
        return f"{settled.outcome}{f', {settled.reason}' if settled.reason else ''}"

    @workflow.update(name=BOOK, description="Book a payment that its team's workflow cannot book any more.")
    async def book(self, report: PaymentReport) -> SettledPayment:
        """Answers with the outcome; another amount than was reported before fails the update."""
        payment = SettlePayment(report=report, now=workflow.now(), wakes_team=True)
        summary = f"book {report.amount} for {quote(report.out_trade_no)}"
        try:
            settled = await execute_local_first(OrderActivities.settle_payment, payment, summary=summary)
        except FailureError as exc:
            self._refused = refusal_of(exc)
            if is_defect(exc):
                self._log.note(f"a defect stopped this step: {summary}: {quote(self._refused.message)}")
                self._log.flag(needs_attention=True)
            raise self._refused from exc
        if settled.refund_attempt is not None:
            # Before the answer: a mall that is told that the money goes back can follow the refund.
            await execute_with_retries(
                RefundStartActivities.start_refund,
                RefundInput(source=report.source, out_trade_no=report.out_trade_no, attempt=settled.refund_attempt),
                summary=f"start the refund of {quote(report.out_trade_no)}",
            )
        self._settled = settled
        self._log.show()
        return settled

    async def _await_report(self) -> SettledPayment:
        def is_answered() -> bool:
            return bool(self._settled or self._refused) and workflow.all_handlers_finished()

        try:
            await workflow.wait_condition(is_answered, timeout=REPORT_WITHIN, timeout_summary="the payment's report")
        except TimeoutError:
            await workflow.wait_condition(workflow.all_handlers_finished)
        if self._settled is None:
            missing = ApplicationError("No report came.", type=WorkflowFailure.NO_REQUEST, non_retryable=True)
            raise self._refused or missing
        return self._settled

    async def _hint_team(self) -> None:
        """The team's workflow, if there is one, reads the rows again."""
        team = workflow.get_external_workflow_handle(team_workflow_id(self._payment.team_id))
        try:
            await team.signal(ROWS_CHANGED)
        except FailureError:
            return  # it has ended: its rows are what counts

    def _details(self, notes: list[str]) -> str:
        lines = [f"Payment of order **{quote(self._payment.out_trade_no)}** of {quote(self._payment.source)}."]
        if self._settled is not None:
            reason = f", {self._settled.reason}" if self._settled.reason else ""
            lines.append(f"Outcome: **{self._settled.outcome}**{reason}.")
        return "\n\n".join([*lines, *notes])
