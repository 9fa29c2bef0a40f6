"""What operators read of a workflow in the Temporal UI: its details with the latest notes, and the attention flag."""

from collections.abc import Callable, Sequence

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from domain.messages.acts import UNNAMED, Act, Outcome
    from workflows.details import moment
    from workflows.markdown import quote
    from workflows.operator_signals import SignalT, UnusablePayloadError, parse_signal
    from workflows.search_attributes import NEEDS_ATTENTION

NOTES = 5


class OperatorLog:
    def __init__(self, render: Callable[[list[str]], str], notes: Sequence[str] = ()) -> None:
        """`render` makes the details, in Markdown, from the notes."""
        self._render = render
        self._is_flagged = bool(workflow.info().typed_search_attributes.get(NEEDS_ATTENTION))
        self.notes = list(notes)

    def show(self) -> None:
        workflow.set_current_details(self._render(self.notes))

    def note(self, text: str) -> None:
        """`text` is Markdown: what others wrote in it is quoted. The same note of an earlier time gives way to it."""
        others = [note for note in self.notes if not note.endswith(f" UTC: {text}")]
        self.notes = [*others, f"{moment(workflow.now())}: {text}"][-NOTES:]
        self.show()

    def note_act(self, what: str, act: Act, outcome: Outcome) -> None:
        """What somebody did, why, and what came of it."""
        self.note(f"{_who_and_why(what, act)}{'' if outcome.changed else ' changed nothing'}: {outcome.detail}")

    def note_failure(self, what: str, act: Act, message: str) -> None:
        """As `note_act`, where a defect stopped it."""
        self.note(f"{_who_and_why(what, act)} failed: {quote(message)}")

    def flag(self, *, needs_attention: bool) -> None:
        """Sets the search attribute NeedsAttention; each change of it is an event and a write."""
        if needs_attention is not self._is_flagged:
            self._is_flagged = needs_attention
            workflow.upsert_search_attributes([NEEDS_ATTENTION.value_set(needs_attention)])

    def parse(self, expected: type[SignalT], payload: object, surplus: tuple[object, ...], name: str) -> SignalT | None:
        """The object of the signal `name`; None, and a note, when it cannot be used."""
        try:
            return parse_signal(expected, payload, surplus)
        except UnusablePayloadError as exc:
            self.note(f"{name} changed nothing: {exc}")
            return None


def _who_and_why(what: str, act: Act) -> str:
    operator = act.author.operator
    return f"{what} by {operator if operator == UNNAMED else quote(operator)} ({quote(act.reason) or 'no reason given'})"
