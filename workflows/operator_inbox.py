"""What operators have told a refund's workflow, until it has acted on it."""

from collections.abc import Callable
from datetime import timedelta

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from domain.messages.signals import CloseManuallySignal, DecideSignal, ResendSignal
    from workflows.saga import run_to_completion


class OperatorInbox:
    def __init__(self, on_cancel: Callable[[], None]) -> None:
        """`on_cancel` is called for each cancel of the workflow that arrives while it waits here."""
        self._on_cancel = on_cancel
        self.cancelled = False
        self.decision: DecideSignal | None = None
        self.resend: ResendSignal | None = None
        self.closed: CloseManuallySignal | None = None

    @property
    def has_message(self) -> bool:
        return bool(self.decision or self.resend or self.closed)

    def record_cancel(self) -> None:
        self.cancelled = True
        self._on_cancel()

    async def wait(self, condition: Callable[[], bool], within: timedelta | None = None, summary: str = "") -> bool:
        """Waits until the condition holds; returns whether it does, or the time is over. A cancel does not interrupt it."""
        waiting = workflow.wait_condition(condition, timeout=within, timeout_summary=summary or None)
        try:
            await run_to_completion(waiting, self.record_cancel)
        except TimeoutError:
            return False
        return True
