"""What operators send. A handler takes any JSON and parses it itself: the SDK drops a signal that it cannot decode."""

from typing import TypeVar

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from pydantic import BaseModel, ValidationError

    from domain.messages.acts import Act, signal_author
    from workflows.markdown import SUMMARY_PART, quote

SignalT = TypeVar("SignalT", bound=BaseModel)


class UndecodablePayload:
    """Stands for a payload that no data converter can read."""


class UnusablePayloadError(Exception):
    """Says in a sentence why a payload cannot be used."""


def signal_act(operator: str, reason: str) -> Act:
    """The act that a signal asks for: replay finds it under the same id."""
    return Act(id=str(workflow.uuid4()), author=signal_author(operator), reason=reason)


def parse_signal(expected: type[SignalT], payload: object, surplus: tuple[object, ...] = ()) -> SignalT:
    """The one JSON object of a signal; no payload stands for an empty one.

    Raises:
        UnusablePayloadError: it is not the one JSON object that is expected.
    """
    if surplus:
        raise UnusablePayloadError("one JSON object is expected, not several.")
    if isinstance(payload, UndecodablePayload):
        raise UnusablePayloadError("the payload: it is not JSON.")
    try:
        return expected.model_validate({} if payload is None else payload)
    except ValidationError as exc:
        first = exc.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the payload"
        if first["type"] == "extra_forbidden":  # a name that the sender chose
            where = quote(where, SUMMARY_PART)
        raise UnusablePayloadError(f"{where}: {first['msg']}.") from None
