"""What operators have told a refund's workflow, until it has acted on it."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from domain.messages.acts import Act, Outcome
    from domain.messages.refunds import RefundAction
    from workflows.saga import run_to_completion


@dataclass
class OperatorMessage:
    """One act. Its handler waits until it is over; without an outcome by then, nobody acts on it."""

    action: RefundAction
    act: Act
    approve: bool = False
    """of a decision"""
    outcome: Outcome | None = None
    is_taken: bool = False
    is_over: bool = False

    def end(self, outcome: Outcome | None) -> None:
        self.outcome = outcome
        self.is_over = True


class OperatorInbox:
    def __init__(self, on_cancel: Callable[[], None]) -> None:
        """`on_cancel` is called for each cancel of the workflow that arrives while it waits here."""
        self._on_cancel = on_cancel
        self._accepted = set(RefundAction)
        self._messages: list[OperatorMessage] = []
        self.cancelled = False

    @property
    def has_message(self) -> bool:
        return any(not message.is_taken for message in self._messages)

    def accepts(self, action: RefundAction) -> bool:
        return action in self._accepted

    def put(self, message: OperatorMessage) -> None:
        """A message that is not accepted any more is over at once."""
        if self.accepts(message.action):
            self._messages.append(message)
        else:
            message.is_over = True

    def first(self, action: RefundAction) -> OperatorMessage | None:
        """The first message that waits."""
        return next((message for message in self._messages if message.action is action and not message.is_taken), None)

    def take(self, action: RefundAction) -> OperatorMessage | None:
        """As `first`; who takes it ends it."""
        message = self.first(action)
        if message is not None:
            message.is_taken = True
        return message

    def close(self, *actions: RefundAction) -> None:
        """Accepts no more of these; those that still wait are over."""
        self._accepted -= set(actions)
        for message in self._messages:
            if message.action in actions and not message.is_taken:
                message.is_over = True
        self._messages = [message for message in self._messages if not message.is_over]

    def close_all(self) -> None:
        """Nobody acts on anything any more: those that were taken are over, too."""
        self._accepted.clear()
        for message in self._messages:
            message.is_over = True
        self._messages.clear()

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
