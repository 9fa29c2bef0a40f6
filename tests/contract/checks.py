"""What schemathesis loads beside itself: checks of ours, and a body that it cannot write alone."""

from typing import Any

import schemathesis
from schemathesis import Case, CheckContext, Response, SerializationContext
from schemathesis.core.parameters import ParameterLocation
from schemathesis.specs.openapi.checks import negative_data_rejection

TOO_LARGE = 413
MEANT = {"temporarily_unavailable", "group_buying_suspended"}


@schemathesis.serializer("application/jsonl", "application/x-ndjson")
def as_it_is(ctx: SerializationContext, value: Any) -> bytes:  # noqa: ANN401, ARG001
    """Nothing that a line could be is left out by making it JSON first."""
    return value if isinstance(value, bytes) else str(value).encode(errors="replace")


@schemathesis.check
def only_meant_server_errors(ctx: CheckContext, response: Response, case: Case[Any]) -> None:  # noqa: ARG001
    assert response.status_code < 500 or response.json()["code"] in MEANT, response.text


@schemathesis.check
def bad_bodies_are_refused(ctx: CheckContext, response: Response, case: Case[Any]) -> None:
    """Only of bodies: a query and a path are text, and what is meant to be wrong there may be right as text."""
    body = case.meta.components.get(ParameterLocation.BODY) if case.meta else None
    if body is not None and body.mode.is_negative and response.status_code != TOO_LARGE:
        negative_data_rejection(ctx, response, case)
